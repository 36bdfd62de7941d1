//! Rebuilding a damaged ledger from the crash headers in the slots.
//!
//! Every crash header holds what the ledger says of its crash when it is new, and all counters.
//! What a header does not hold is lost with the ledger: repetitions, acknowledgements, and which
//! crashes were erased.

use super::{CrashEntry, Ledger};
use crate::CrashReason;
use crate::crash::CrashHeader;

impl CrashEntry {
    /// The entry of the crash, or of the self-test, that `header` describes, without repetitions.
    #[must_use]
    pub fn of(header: &CrashHeader) -> Self {
        Self {
            sequence: header.sequence,
            signature: header.signature,
            repeats: 0.into(),
            last_boot: header.boot,
            last_time: u32::try_from(header.time.get()).unwrap_or(u32::MAX).into(),
        }
    }
}

impl Ledger {
    /// Enters the crash, or the self-test, whose header was found in `slot`. The counters, the
    /// newest boot and the next sequence number become at least those of the header. A header with
    /// sequence number 0 is not entered.
    ///
    /// `slot` has to be free. Afterwards [`Ledger::make_room`] has to free a slot, as all may be
    /// taken.
    pub fn restore(&mut self, slot: u32, header: &CrashHeader) {
        if header.sequence.get() == 0 {
            return;
        }
        let entry = CrashEntry::of(header);
        if header.reason() == Ok(CrashReason::SelfTest) {
            self.insert_self_test(slot, &entry);
        } else {
            self.insert(slot, &entry);
        }
        self.raise(&header.counters, header.boot.get());
    }
}
