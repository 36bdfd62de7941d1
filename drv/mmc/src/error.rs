//! Errors of a card, and their numbers.

use crate::state::StatusError;
use drv_sdhci::ErrorKind;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The controller, or the bus to the card, failed.
    Host(drv_sdhci::Error),
    /// The card reported an error in its status.
    Card {
        /// The error bit.
        error: StatusError,
        /// The command whose response, or whose execution, the bit belongs to.
        command: u8,
    },
    /// Neither an eMMC nor an SD card answers.
    NoCard,
    /// The card does not run on the voltage there is.
    Voltage,
    /// The card did not finish its power-up within one second.
    PowerUp,
    /// The CSD register is invalid.
    Csd,
    /// The EXT_CSD register is invalid, or reads differently over a wider or faster bus.
    ExtCsd,
    /// The card stayed busy, or did not return to transfer state.
    Busy,
    /// The card has lost its state and must be identified again.
    Lost,
    /// The request reaches beyond the end of the card; nothing was sent.
    OutOfBounds,
    /// The card has not been identified.
    NotReady,
    /// The deadline of the phase has passed.
    Deadline,
    /// The card in the slot is not the one that was there before. It was identified, and not
    /// written.
    OtherCard,
    /// The card had to be identified again while its cache held data that were not flushed. The
    /// data may be lost.
    CacheLost,
    /// The supply is of 1.8 V, and no eMMC answers. An SD card needs 3.3 V, so none was looked for.
    SdVoltage,
    /// The eMMC is set to sectors of 4 KiB (EXT_CSD byte DATA_SECTOR_SIZE), and does not take the
    /// blocks of 512 bytes that this driver writes. A card whose sectors are of 4 KiB inside but
    /// that emulates 512 bytes is used.
    SectorSize,
    /// The card must not be written: its CSD register says so, permanently or for now, or it is an
    /// SD card whose write-protect switch is on. Nothing was sent.
    ReadOnly,
}

impl Error {
    /// The error as one number, as it is stored with a crash: kind in bits 23:16, detail in bits
    /// 15:8, command in bits 7:0. It is never 0.
    ///
    /// | kind | detail |
    /// |---|---|
    /// | 1 | host error ([`ErrorKind`]) |
    /// | 2 | error bit of the card status, its number ([`StatusError`]) |
    /// | 3 .. 17 | the other variants in their order, no detail |
    #[must_use]
    pub const fn code(self) -> u32 {
        let (kind, detail, command) = match self {
            Self::Host(error) => (1, error.kind as u32, error.command),
            Self::Card { error, command } => (2, error as u32, command),
            Self::NoCard => (3, 0, 0),
            Self::Voltage => (4, 0, 0),
            Self::PowerUp => (5, 0, 0),
            Self::Csd => (6, 0, 0),
            Self::ExtCsd => (7, 0, 0),
            Self::Busy => (8, 0, 0),
            Self::Lost => (9, 0, 0),
            Self::OutOfBounds => (10, 0, 0),
            Self::NotReady => (11, 0, 0),
            Self::Deadline => (12, 0, 0),
            Self::OtherCard => (13, 0, 0),
            Self::CacheLost => (14, 0, 0),
            Self::SdVoltage => (15, 0, 0),
            Self::SectorSize => (16, 0, 0),
            Self::ReadOnly => (17, 0, 0),
        };
        kind << 16 | detail << 8 | command as u32
    }

    /// The inverse of [`Error::code`]; `None` for a number that it never returns.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        let [command, detail, kind, rest] = code.to_le_bytes();
        let error = match kind {
            1 => {
                let kind = ErrorKind::ALL
                    .into_iter()
                    .find(|kind| *kind as u8 == detail)?;
                Self::Host(drv_sdhci::Error { kind, command })
            }
            2 => {
                let error = StatusError::ALL
                    .into_iter()
                    .find(|error| *error as u8 == detail)?;
                Self::Card { error, command }
            }
            3 => Self::NoCard,
            4 => Self::Voltage,
            5 => Self::PowerUp,
            6 => Self::Csd,
            7 => Self::ExtCsd,
            8 => Self::Busy,
            9 => Self::Lost,
            10 => Self::OutOfBounds,
            11 => Self::NotReady,
            12 => Self::Deadline,
            13 => Self::OtherCard,
            14 => Self::CacheLost,
            15 => Self::SdVoltage,
            16 => Self::SectorSize,
            17 => Self::ReadOnly,
            _ => return None,
        };
        (rest == 0 && error.code() == code).then_some(error)
    }

    /// Whether another attempt may succeed. It cannot if the card refuses an address, or is gone.
    pub(crate) const fn is_transient(self) -> bool {
        match self {
            Self::Host(error) => !matches!(error.kind, ErrorKind::CardGone | ErrorKind::BadRequest),
            Self::Card { error, .. } => {
                matches!(
                    error,
                    // Recovery sets the block length, so another attempt may succeed.
                    StatusError::BlockLength
                        | StatusError::EccFailed
                        | StatusError::ControllerFailed
                        | StatusError::General
                        | StatusError::Switch
                )
            }
            Self::Busy | Self::Lost => true,
            _ => false,
        }
    }
}

impl From<drv_sdhci::Error> for Error {
    fn from(error: drv_sdhci::Error) -> Self {
        Self::Host(error)
    }
}

#[cfg(test)]
mod tests {
    use super::Error;
    use crate::state::StatusError;
    use drv_sdhci::ErrorKind;

    #[test]
    fn codes_are_unique_and_come_back() {
        let mut all = vec![
            Error::NoCard,
            Error::Voltage,
            Error::PowerUp,
            Error::Csd,
            Error::ExtCsd,
            Error::Busy,
            Error::Lost,
            Error::OutOfBounds,
            Error::NotReady,
            Error::Deadline,
            Error::OtherCard,
            Error::CacheLost,
            Error::SdVoltage,
            Error::SectorSize,
            Error::ReadOnly,
        ];
        for command in [0, 24, 63] {
            let host = |kind| Error::Host(drv_sdhci::Error { kind, command });
            all.extend(ErrorKind::ALL.into_iter().map(host));
            all.extend(
                StatusError::ALL
                    .into_iter()
                    .map(|error| Error::Card { error, command }),
            );
        }
        let mut codes: Vec<u32> = all.iter().map(|error| error.code()).collect();
        for (error, code) in all.iter().zip(&codes) {
            assert_eq!(Error::from_code(*code), Some(*error));
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all.len());
    }

    #[test]
    fn other_numbers_are_no_errors() {
        for code in [
            0,
            1,
            0x1_0000,
            0x1_FF00,
            0x2_0800,
            0x3_0001,
            0x12_0000,
            0x0103_0000,
            u32::MAX,
        ] {
            assert_eq!(Error::from_code(code), None, "{code:#x}");
        }
    }
}
