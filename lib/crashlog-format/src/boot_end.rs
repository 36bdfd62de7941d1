//! How a boot ended, as a later boot knows it.
//!
//! The boot record of a boot says it of the boots before ([`crate::BootRecord::ends`]).

use core::fmt;

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootEnd {
    /// It is not known.
    NotKnown,
    /// This task, by index, asked for a restart.
    Restart(u16),
    /// This task, by index, crashed, and the system was reset for that.
    Crash(u16),
    /// The kernel or the supervisor failed.
    Kernel,
    /// The hardware watchdog reset the system, and no crash was described.
    Watchdog,
    /// Power was lost: retained RAM did not survive.
    PowerLost,
    /// A reset from outside: retained RAM survived, and nothing in the system asked for a reset.
    Outside,
}

impl BootEnd {
    /// Length of its encoding in bytes.
    pub const LEN: usize = 4;

    /// Its encoding, a little-endian number: the kind in bits 0 to 7, a task in bits 16 to 31.
    #[must_use]
    pub const fn to_number(self) -> u32 {
        match self {
            Self::NotKnown => 0,
            Self::Restart(task) => 1 | (task as u32) << 16,
            Self::Crash(task) => 2 | (task as u32) << 16,
            Self::Kernel => 3,
            Self::Watchdog => 4,
            Self::PowerLost => 5,
            Self::Outside => 6,
        }
    }

    /// Decodes it. A kind that this version does not know is not known.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        let task = (number >> 16) as u16;
        match number as u8 {
            1 => Self::Restart(task),
            2 => Self::Crash(task),
            3 => Self::Kernel,
            4 => Self::Watchdog,
            5 => Self::PowerLost,
            6 => Self::Outside,
            _ => Self::NotKnown,
        }
    }

    /// Its name, as programs read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotKnown => "not known",
            Self::Restart(_) => "restart",
            Self::Crash(_) => "crash",
            Self::Kernel => "kernel failure",
            Self::Watchdog => "watchdog",
            Self::PowerLost => "power lost",
            Self::Outside => "reset from outside",
        }
    }
}

/// How the boots before one ended, newest first: the boot before it, then the one before that.
///
/// There are several because a boot may end before it can tell anybody how its predecessor ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootEnds {
    count: u8,
    numbers: [u32; Self::MAX],
}

impl BootEnds {
    /// How many boots it tells of at most.
    pub const MAX: usize = 4;
    /// Length of the longest encoding in bytes.
    pub const MAX_LEN: usize = 1 + Self::MAX * BootEnd::LEN;

    /// Of no boot.
    pub const NONE: Self = Self {
        count: 0,
        numbers: [0; Self::MAX],
    };

    /// The same with the end of one more boot, the newest. That of the oldest is forgotten, if
    /// there are as many as fit.
    #[must_use]
    pub fn and(self, newest: BootEnd) -> Self {
        let [a, b, c, _] = self.numbers;
        Self {
            count: self.count.saturating_add(1).min(Self::MAX as u8),
            numbers: [newest.to_number(), a, b, c],
        }
    }

    /// The ends, newest first.
    pub fn iter(&self) -> impl Iterator<Item = BootEnd> {
        let count = usize::from(self.count);
        let numbers = self.numbers.into_iter().take(count);
        numbers.map(BootEnd::from_number)
    }

    /// How many there are, and their encodings ([`BootEnd::to_number`]), newest first; those behind
    /// are 0.
    #[must_use]
    pub const fn to_numbers(&self) -> (u32, [u32; Self::MAX]) {
        (self.count as u32, self.numbers)
    }

    /// The ends with these encodings, of which `count` are there.
    #[must_use]
    pub fn from_numbers(count: u32, numbers: [u32; Self::MAX]) -> Self {
        Self {
            count: count.min(Self::MAX as u32) as u8,
            numbers,
        }
    }

    /// Encodes them: one byte for how many there are, and each. Returns the length in bytes; `None`
    /// if `to` is too short.
    pub fn encode(&self, to: &mut [u8]) -> Option<usize> {
        let (count, rest) = to.split_first_mut()?;
        *count = self.count;
        let (places, _) = rest.as_chunks_mut::<{ BootEnd::LEN }>();
        let places = places.get_mut(..usize::from(self.count))?;
        for (place, number) in places.iter_mut().zip(self.numbers) {
            *place = number.to_le_bytes();
        }
        Some(size_of_val(places).saturating_add(1))
    }

    /// The bytes behind the encoded ends at the start of `bytes`, if these are whole.
    #[must_use]
    pub fn behind(bytes: &[u8]) -> Option<&[u8]> {
        let (count, rest) = bytes.split_first()?;
        rest.get(usize::from(*count).checked_mul(BootEnd::LEN)?..)
    }

    /// Decodes them from the start of `bytes`. None if there are none, or they are cut off: records
    /// of earlier versions end before.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut ends = Self::NONE;
        let Some((count, rest)) = bytes.split_first() else {
            return ends;
        };
        let (places, _) = rest.as_chunks::<{ BootEnd::LEN }>();
        let Some(places) = places.get(..usize::from(*count)) else {
            return ends;
        };
        for (number, place) in ends.numbers.iter_mut().zip(places) {
            *number = u32::from_le_bytes(*place);
            ends.count = ends.count.saturating_add(1);
        }
        ends
    }
}

impl fmt::Display for BootEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restart(task) => write!(f, "restart asked for by task {task}"),
            Self::Crash(task) => write!(f, "crash of task {task}"),
            other => f.write_str(other.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [BootEnd; 7] = [
        BootEnd::NotKnown,
        BootEnd::Restart(7),
        BootEnd::Crash(0xffff),
        BootEnd::Kernel,
        BootEnd::Watchdog,
        BootEnd::PowerLost,
        BootEnd::Outside,
    ];

    #[test]
    fn what_is_encoded_is_decoded() {
        for end in ALL {
            assert_eq!(BootEnd::from_number(end.to_number()), end);
        }
        assert_eq!(BootEnd::from_number(0x0003_00ff), BootEnd::NotKnown);
        let mut ends = BootEnds::NONE;
        for (index, end) in ALL.into_iter().enumerate() {
            let mut bytes = [0; BootEnds::MAX_LEN];
            let length = ends.encode(&mut bytes).unwrap();
            assert_eq!(length, 1 + 4 * index.min(4));
            assert_eq!(BootEnds::parse(&bytes[..length]), ends);
            let (count, numbers) = ends.to_numbers();
            assert_eq!(BootEnds::from_numbers(count, numbers), ends);
            assert_eq!(ends.encode(&mut bytes[..length - 1]), None);
            ends = ends.and(end);
        }
        let newest: Vec<_> = ends.iter().collect();
        assert_eq!(
            newest,
            [
                BootEnd::Outside,
                BootEnd::PowerLost,
                BootEnd::Watchdog,
                BootEnd::Kernel
            ]
        );
    }

    #[test]
    fn what_is_cut_or_missing_says_nothing() {
        let ends = BootEnds::NONE.and(BootEnd::Kernel).and(BootEnd::Watchdog);
        let mut bytes = [0; BootEnds::MAX_LEN];
        let length = ends.encode(&mut bytes).unwrap();
        for short in 0..length {
            assert_eq!(BootEnds::parse(&bytes[..short]), BootEnds::NONE, "{short}");
        }
        // A later version may tell of more boots.
        let more: Vec<u8> = [5].into_iter().chain([3, 0, 0, 0].repeat(5)).collect();
        assert_eq!(BootEnds::parse(&more).iter().count(), BootEnds::MAX);
        assert_eq!(BootEnds::from_numbers(u32::MAX, [3; 4]).iter().count(), 4);
    }
}
