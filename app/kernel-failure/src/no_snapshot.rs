//! Without the kernel's feature `dump` no memory is saved.

use crashlog_retained::SnapshotArea;
use kern::fail::Failure;

/// Makes no image.
pub fn make(_area: &SnapshotArea<'_>, _failure: &Failure<'_>, _boot: u32) {}
