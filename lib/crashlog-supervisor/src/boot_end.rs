//! How the boot before this one ended.
//!
//! | it ended | known by |
//! |---|---|
//! | with the crash of a task | a note that is made when the watchdog has been armed for it |
//! | with a failure of the kernel or the supervisor | the note of `failure.rs` |
//! | because a task asked for it | the note of [`Supervisor::note_restart`], or of the kernel |
//! | by the watchdog | the chip |
//! | with the loss of power | a cold start: retained RAM did not survive |
//! | by a reset from outside | none of these |
//!
//! What the chip says counts where nothing was noted, since a note says more. The recorder says it
//! in the boot record.

use crate::{Kernel, Supervisor};
use crashlog_retained::{BootEnd, Region, Start};

/// What the chip says of the last reset.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum ResetCause {
    /// It does not say, or software did it.
    #[default]
    Unknown,
    /// Power was applied.
    PowerOn,
    /// The reset pin was asserted.
    Pin,
    /// A watchdog.
    Watchdog,
}

/// Begins a boot in `region`, and keeps there how the one before ended.
pub(crate) fn begin_boot(region: &Region<'_>, cause: ResetCause) {
    let previous = region.boot();
    let start = region.begin_boot();
    let end = how_ended(region, start, previous, cause);
    region.boot_end().begin(previous, region.boot(), end);
}

/// How boot `previous` ended.
fn how_ended(region: &Region<'_>, start: Start, previous: u32, cause: ResetCause) -> BootEnd {
    let by_chip = match cause {
        ResetCause::Unknown => None,
        ResetCause::PowerOn => Some(BootEnd::PowerLost),
        ResetCause::Pin => Some(BootEnd::Outside),
        ResetCause::Watchdog => Some(BootEnd::Watchdog),
    };
    if start == Start::Cold {
        return by_chip.unwrap_or(BootEnd::PowerLost);
    }
    let noted = region.boot_end().noted(previous);
    noted.or(by_chip).unwrap_or(BootEnd::Outside)
}

impl<K: Kernel> Supervisor<'_, K> {
    /// Notes that `task` has asked for a restart of the system, which follows.
    pub fn note_restart(&mut self, task: usize) {
        let end = BootEnd::Restart(index(task));
        self.region.boot_end().note(self.boot, end);
        // It says nothing about what the recorder has found.
        self.region.trial().end_start();
    }

    /// Notes that this boot ends with the crash of `task`.
    pub(crate) fn note_crash(&self, task: usize) {
        self.region.boot_end().note_crash(self.boot, index(task));
    }

    /// How the boot before this one ended.
    #[must_use]
    pub fn previous_end(&self) -> BootEnd {
        let ends = self.region.boot_end().ends(self.boot);
        ends.iter().next().unwrap_or(BootEnd::NotKnown)
    }
}

const fn index(task: usize) -> u16 {
    task as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crashlog_retained::Block;

    fn memory() -> Vec<Block> {
        (0..600).map(|_| Block::zeroed()).collect()
    }

    fn previous_ends(region: &Region<'_>) -> Vec<BootEnd> {
        region.boot_end().ends(region.boot()).iter().collect()
    }

    #[test]
    fn each_way_to_end_is_told_from_the_others() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        let boot = |cause| begin_boot(&region, cause);
        let newest = || previous_ends(&region)[0];

        boot(ResetCause::Unknown);
        assert_eq!(previous_ends(&region), [BootEnd::PowerLost]);
        boot(ResetCause::Unknown);
        assert_eq!(newest(), BootEnd::Outside);
        // The chip decides where nothing was noted.
        boot(ResetCause::Watchdog);
        assert_eq!(newest(), BootEnd::Watchdog);
        boot(ResetCause::PowerOn);
        assert_eq!(newest(), BootEnd::PowerLost);
        boot(ResetCause::Pin);
        assert_eq!(newest(), BootEnd::Outside);
        for end in [BootEnd::Restart(2), BootEnd::Kernel, BootEnd::Watchdog] {
            region.boot_end().note(region.boot(), end);
            boot(ResetCause::Pin);
            assert_eq!(newest(), end);
        }
        // A crash comes before everything else in its boot.
        region.boot_end().note_crash(region.boot(), 3);
        region.boot_end().note(region.boot(), BootEnd::Kernel);
        boot(ResetCause::Watchdog);
        assert_eq!(newest(), BootEnd::Crash(3));
        boot(ResetCause::Unknown);
        assert_eq!(newest(), BootEnd::Outside);
    }

    #[test]
    fn after_a_cold_start_nothing_that_is_there_counts() {
        let memory = memory();
        let region = Region::over(&memory).unwrap();
        begin_boot(&region, ResetCause::Unknown);
        begin_boot(&region, ResetCause::Unknown);
        region.boot_end().note(2, BootEnd::Restart(2));
        // The headers are lost, what is beside them is not.
        for block in &memory {
            for word in 0..16 {
                block.set_word(word, 0);
            }
            block.set_word(64, 1);
        }
        begin_boot(&region, ResetCause::Unknown);
        assert_eq!(previous_ends(&region), [BootEnd::PowerLost]);
        assert_eq!(region.boot(), 1);
    }
}
