//! The card status: state and error bits.

use crate::proto::status;

/// State of a card (SD 4.10.1, eMMC 6.13). The numbers are those of CURRENT_STATE, and are stored
/// with a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CardState {
    /// idle
    Idle = 0,
    /// ready
    Ready = 1,
    /// ident
    Identification = 2,
    /// stby
    Standby = 3,
    /// tran
    Transfer = 4,
    /// data: sending data
    Sending = 5,
    /// rcv: receiving data
    Receiving = 6,
    /// prg: programming or erasing, busy
    Programming = 7,
    /// dis: programming while not selected
    Disconnected = 8,
    /// btst (eMMC)
    BusTest = 9,
    /// slp (eMMC)
    Sleep = 10,
    /// A reserved number.
    Reserved = 15,
}

impl CardState {
    /// The state in a card status.
    #[must_use]
    pub const fn of(card_status: u32) -> Self {
        match (card_status >> status::CURRENT_STATE_SHIFT) & 0xF {
            0 => Self::Idle,
            1 => Self::Ready,
            2 => Self::Identification,
            3 => Self::Standby,
            4 => Self::Transfer,
            5 => Self::Sending,
            6 => Self::Receiving,
            7 => Self::Programming,
            8 => Self::Disconnected,
            9 => Self::BusTest,
            10 => Self::Sleep,
            _ => Self::Reserved,
        }
    }
}

/// An error bit of the card status. The number is that of the bit, and is stored with a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusError {
    /// OUT_OF_RANGE
    OutOfRange = 31,
    /// ADDRESS_ERROR, ADDRESS_MISALIGN
    Address = 30,
    /// BLOCK_LEN_ERROR
    BlockLength = 29,
    /// WP_VIOLATION
    WriteProtected = 26,
    /// CARD_IS_LOCKED
    Locked = 25,
    /// CARD_ECC_FAILED
    EccFailed = 21,
    /// CC_ERROR
    ControllerFailed = 20,
    /// ERROR
    General = 19,
    /// SWITCH_ERROR
    Switch = 7,
}

impl StatusError {
    /// Every error, the more specific first.
    pub const ALL: [Self; 9] = [
        Self::OutOfRange,
        Self::Address,
        Self::BlockLength,
        Self::WriteProtected,
        Self::Locked,
        Self::EccFailed,
        Self::ControllerFailed,
        Self::General,
        Self::Switch,
    ];

    /// The most specific error among the bits of `card_status` that are in `mask`.
    #[must_use]
    pub fn decode(card_status: u32, mask: u32) -> Option<Self> {
        let bits = card_status & mask;
        // As nearly always, and the search is on the emergency path.
        if bits == 0 {
            return None;
        }
        let is_set = |error: &&Self| bits.wrapping_shr(**error as u32) & 1 != 0;
        Self::ALL.iter().find(is_set).copied()
    }
}

/// Whether the card is in transfer state and ready for data.
#[must_use]
pub const fn is_ready(card_status: u32) -> bool {
    card_status & status::READY_FOR_DATA != 0
        && matches!(CardState::of(card_status), CardState::Transfer)
}
