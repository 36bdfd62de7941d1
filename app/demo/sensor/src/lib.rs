//! A simulated board: four thermometers and their bus.
//!
//! [`Board::step`] advances by one measurement and returns the events to report. It is
//! deterministic: the n-th step gives the same events on every machine and in every boot, so that a
//! test knows what must be in the log.
//!
//! Each temperature is a triangle wave with a period of its own, so limits are crossed in both
//! directions. The bus fails at every [`TRANSFERS_PER_ERROR`]th transfer.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

use hubpack::SerializedSize;
use serde::{Deserialize, Serialize};

/// Thermometers on the board.
pub const SENSORS: u8 = 4;

/// Temperature above which a thermometer is too hot, in hundredths of a degree Celsius.
pub const LIMIT: i32 = 85_00;

/// One of so many transfers fails. The number is prime, so that every thermometer is affected.
const TRANSFERS_PER_ERROR: u32 = 97;

/// A record of the event stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Serialize, Deserialize, SerializedSize)]
pub enum SensorEvent {
    /// A thermometer was read.
    Reading {
        /// Which one, from 0.
        sensor: u8,
        /// Hundredths of a degree Celsius.
        centidegrees: i32,
    },
    /// A thermometer has risen above the limit, or fallen below it.
    LimitCrossed {
        /// Which one, from 0.
        sensor: u8,
        /// Hundredths of a degree Celsius.
        centidegrees: i32,
        /// The limit, in the same unit.
        limit: i32,
        /// Is it above the limit now?
        above: bool,
    },
    /// A transfer on the bus failed.
    ErrorCount {
        /// Which bus.
        bus: u8,
        /// Failed transfers since the task began.
        errors: u32,
    },
}

/// The events of one step, in this order.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The measurement, or the failed transfer.
    pub measured: SensorEvent,
    /// The crossing of the limit, if this measurement crossed it.
    pub crossed: Option<SensorEvent>,
}

/// The board's state.
#[derive(Debug, Default)]
pub struct Board {
    step: u32,
    errors: u32,
    /// Bit n: thermometer n is above the limit.
    hot: u8,
}

impl Board {
    /// A board before its first step.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            step: 0,
            errors: 0,
            hot: 0,
        }
    }

    /// Reads the next thermometer, in turns.
    pub fn step(&mut self) -> Report {
        let step = self.step;
        self.step = step.wrapping_add(1);
        if step % TRANSFERS_PER_ERROR == TRANSFERS_PER_ERROR - 1 {
            self.errors = self.errors.saturating_add(1);
            return Report {
                measured: SensorEvent::ErrorCount {
                    bus: 0,
                    errors: self.errors,
                },
                crossed: None,
            };
        }

        let sensor = (step % u32::from(SENSORS)) as u8;
        let centidegrees = temperature(sensor, step);
        let bit = 1 << sensor;
        let above = centidegrees > LIMIT;
        let crossed = if above != (self.hot & bit != 0) {
            self.hot ^= bit;
            Some(SensorEvent::LimitCrossed {
                sensor,
                centidegrees,
                limit: LIMIT,
                above,
            })
        } else {
            None
        };
        Report {
            measured: SensorEvent::Reading {
                sensor,
                centidegrees,
            },
            crossed,
        }
    }
}

/// A triangle wave from 20 to 90 degrees Celsius, with a longer period for each further
/// thermometer.
fn temperature(sensor: u8, step: u32) -> i32 {
    const LOW: i32 = 20_00;
    const SWING: u32 = 70_00;
    let half = 200 + 50 * u32::from(sensor);
    let phase = step % (2 * half);
    let rise = if phase < half {
        phase
    } else {
        2 * half - phase
    };
    // The quotient is at most SWING, so it fits.
    LOW + (rise * SWING / half) as i32
}

#[cfg(test)]
mod tests {
    use super::{Board, LIMIT, SENSORS, SensorEvent};

    #[test]
    fn every_event_happens_and_every_sensor_is_read() {
        let mut board = Board::new();
        let mut read = [0; SENSORS as usize];
        let (mut rose, mut fell, mut errors) = (0, 0, 0);
        for _ in 0..5_000 {
            let report = board.step();
            match report.measured {
                SensorEvent::Reading { sensor, .. } => read[usize::from(sensor)] += 1,
                SensorEvent::ErrorCount { errors: now, .. } => {
                    errors += 1;
                    assert_eq!(now, errors);
                }
                SensorEvent::LimitCrossed { .. } => panic!("a crossing is no measurement"),
            }
            match report.crossed {
                Some(SensorEvent::LimitCrossed {
                    above: true,
                    centidegrees,
                    ..
                }) => {
                    assert!(centidegrees > LIMIT);
                    rose += 1;
                }
                Some(SensorEvent::LimitCrossed {
                    above: false,
                    centidegrees,
                    ..
                }) => {
                    assert!(centidegrees <= LIMIT);
                    fell += 1;
                }
                Some(other) => panic!("{other:?} is no crossing"),
                None => {}
            }
        }
        assert!(read.iter().all(|&n| n > 1_000));
        assert!(rose > 10 && fell > 10);
        assert_eq!(errors, 51);
    }

    #[test]
    fn two_boards_report_the_same() {
        let (mut one, mut other) = (Board::new(), Board::new());
        for _ in 0..1_000 {
            assert_eq!(one.step(), other.step());
        }
    }

    #[test]
    fn the_step_counter_may_wrap() {
        let mut board = Board::new();
        board.step = u32::MAX;
        board.step();
        board.step();
    }
}
