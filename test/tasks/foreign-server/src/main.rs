//! A server with an Idol interface, written like a third-party task.
//!
//! It has edition 2021, a configuration, a timer, a ring buffer.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::num::NonZeroU8;
use foreign_thermal_api::{
    Bus, Calibration, DescribeError, Description, Kind, Port, SensorId, ThermalError,
};
use idol_runtime::{
    ClientError, LeaseBufReader, Leased, LenLimit, NotificationHandler, RequestError, R, RW, W,
};
use ringbuf::*;
use static_cell::ClaimOnceCell;
use userlib::units::Celsius;
use userlib::*;
use zerocopy::IntoBytes;

task_slot!(EXPANDER, expander);

task_config::task_config! {
    /// Time between two samples in milliseconds.
    period: u32,
    sensors: &'static [(u8, f32)],
    name: &'static str,
    mode: Mode,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum Mode {
    #[allow(dead_code)]
    Slow,
    Fast,
}

#[derive(Copy, Clone, Debug, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Sampled {
        at: u64,
    },
    Limit(f32),
    Refused(#[count(children)] ThermalError),
    Poked,
}

counted_ringbuf!(Trace, 32, Trace::None);

struct ServerImpl {
    samples: &'static mut [u16; 8],
    taken: usize,
    limit: Option<f32>,
    waiting: Option<TaskId>,
    calibrated: u32,
}

#[export_name = "main"]
fn main() -> ! {
    static SAMPLES: ClaimOnceCell<[u16; 8]> = ClaimOnceCell::new([0; 8]);

    // A driver may call another one when it starts.
    let (code, _) = sys_send(
        EXPANDER.get_task_id(),
        1,
        &7_u32.to_le_bytes(),
        &mut [0; 4],
        &[],
    );
    assert_eq!(code, 0);

    let mut server = ServerImpl {
        samples: SAMPLES.claim(),
        taken: 0,
        limit: None,
        waiting: None,
        calibrated: 0,
    };
    set_timer_relative(TASK_CONFIG.period, notifications::SAMPLE_TIMER_MASK);
    let mut buffer = [0; idl::INCOMING_SIZE];
    loop {
        idol_runtime::dispatch(&mut buffer, &mut server);
    }
}

impl NotificationHandler for ServerImpl {
    fn current_notification_mask(&self) -> u32 {
        notifications::SAMPLE_TIMER_MASK | notifications::POKE_MASK
    }

    fn handle_notification(&mut self, bits: NotificationBits) {
        if bits.has_timer_fired(notifications::SAMPLE_TIMER_MASK) {
            let now = sys_get_timer().now;
            ringbuf_entry!(Trace::Sampled { at: now });
            self.samples[self.taken % 8] = self.taken as u16 + 1;
            self.taken += 1;
            if let Some(client) = self.waiting.take() {
                sys_reply(client, 0, (self.taken as u32).as_bytes());
            }
            set_timer_relative(TASK_CONFIG.period, notifications::SAMPLE_TIMER_MASK);
        }
        if bits.check_notification_mask(notifications::POKE_MASK) {
            ringbuf_entry!(Trace::Poked);
        }
    }
}

impl ServerImpl {
    fn sensor(&self, sensor: SensorId) -> Result<f32, ThermalError> {
        TASK_CONFIG
            .sensors
            .iter()
            .find(|(id, _)| *id == sensor as u8)
            .map(|(_, value)| *value)
            .ok_or(ThermalError::NoSensor)
    }
}

impl idl::InOrderThermalImpl for ServerImpl {
    fn temperature(
        &mut self,
        _: &RecvMessage,
        sensor: SensorId,
    ) -> Result<f32, RequestError<ThermalError>> {
        let value = self
            .sensor(sensor)
            .inspect_err(|&e| ringbuf_entry!(Trace::Refused(e)))?;
        Ok(value)
    }

    fn set_limit(
        &mut self,
        _: &RecvMessage,
        limit: Celsius,
        armed: bool,
    ) -> Result<bool, RequestError<ThermalError>> {
        if !(-273.15..1000.0).contains(&limit.0) {
            return Err(ThermalError::BadLimit.into());
        }
        ringbuf_entry!(Trace::Limit(limit.0));
        let before = self.limit.is_some();
        self.limit = armed.then_some(limit.0);
        Ok(before)
    }

    fn armed(&mut self, _: &RecvMessage) -> Result<bool, RequestError<Infallible>> {
        Ok(self.limit.is_some())
    }

    fn describe(
        &mut self,
        _: &RecvMessage,
        sensor: SensorId,
    ) -> Result<Description, RequestError<DescribeError>> {
        self.sensor(sensor).map_err(|_| DescribeError::NoSensor {
            sensors: TASK_CONFIG.sensors.len() as u8,
        })?;
        let mut name = [0; 8];
        name[..TASK_CONFIG.name.len()].copy_from_slice(TASK_CONFIG.name.as_bytes());
        Ok(Description {
            name,
            place: (TASK_CONFIG.mode == Mode::Fast).then_some(0x1234),
            kind: match sensor {
                SensorId::Inlet => Kind::Air,
                _ => Kind::Contact { quality: 9 },
            },
        })
    }

    fn range(
        &mut self,
        _: &RecvMessage,
        wide: bool,
    ) -> Result<(i16, Option<i16>), RequestError<Infallible>> {
        Ok(if wide { (-273, None) } else { (-40, Some(85)) })
    }

    fn place(
        &mut self,
        _: &RecvMessage,
        Port::Only: Port,
        Bus::I2c(bus): Bus,
        address: Option<NonZeroU8>,
    ) -> Result<u16, RequestError<Infallible>> {
        Ok(u16::from_be_bytes([bus, address.map_or(0, NonZeroU8::get)]))
    }

    fn history(
        &mut self,
        _: &RecvMessage,
        out: LenLimit<Leased<W, [u16]>, 16>,
    ) -> Result<usize, RequestError<ThermalError>> {
        let count = out.len().min(self.samples.len()).min(self.taken);
        out.write_range(0..count, &self.samples[..count])
            .map_err(|_| RequestError::went_away())?;
        Ok(count)
    }

    fn load(
        &mut self,
        _: &RecvMessage,
        table: Leased<R, [u8]>,
    ) -> Result<u32, RequestError<ThermalError>> {
        let mut reader = LeaseBufReader::<_, 16>::from(table);
        let mut sum = 0;
        while let Some(byte) = reader.read() {
            sum += u32::from(byte);
        }
        Ok(sum)
    }

    fn calibrate(
        &mut self,
        msg: &RecvMessage,
        block: Leased<RW, Calibration>,
    ) -> Result<(), RequestError<Infallible>> {
        assert_eq!(block.lender(), msg.sender);
        let mut value = block.read().ok_or(ClientError::WentAway.fail())?;
        self.calibrated += 1;
        value.offset = -value.offset;
        value.applied = self.calibrated;
        block.write(value).map_err(|_| ClientError::WentAway.fail())
    }

    fn next_sample(&mut self, msg: &RecvMessage) -> Result<u32, RequestError<ThermalError>> {
        // The reply is deferred to the notification handler: `went_away` makes Idol send none now.
        self.waiting = Some(msg.sender);
        Err(RequestError::went_away())
    }

    fn secret(&mut self, _: &RecvMessage) -> Result<(), RequestError<Infallible>> {
        Ok(())
    }
}

mod idl {
    use super::{Bus, Calibration, DescribeError, Description, Port, SensorId, ThermalError};
    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
