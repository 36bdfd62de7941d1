//! A retained region, and the crash of a system in it.

use block_device::Block;
use crashlog_format::CrashReason;
use crashlog_retained::{CrashContext, Region};

/// Memory of zeros for a region with the shortest log ring.
#[must_use]
pub fn memory() -> Vec<Block> {
    let blocks = Region::len_with(8) / block_device::BLOCK_LEN;
    (0..blocks).map(|_| Block::zeroed()).collect()
}

/// A panic of a client at this time, described and armed in the mailbox.
///
/// # Panics
/// The region has no room for a crash.
pub fn arm_panic(region: &Region<'_>, time: u64) {
    let mut context = CrashContext::new(CrashReason::Panic, 5, "worker", &[0, 1, 4, 0, 0, 0, 0]);
    (context.time, context.boot) = (time, region.boot());
    let mut writer = region.mailbox().write_crash().expect("room for a crash");
    writer.message(b"a message");
    writer.stack_at(0x8080_0000, 64);
    writer.stack(&[7; 64]);
    writer.finish(&context);
    region.mailbox().arm(1_000);
}
