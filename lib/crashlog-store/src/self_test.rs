//! The self-test of the emergency path: what it writes, and reading it back.
//!
//! A crash whose reason is [`CrashReason::SelfTest`] is written by [`crate::emergency::write`] like
//! any other. Then the card is mounted again, without use of the location cache, and everything
//! that was written is compared with what was to be written: the entry in the ledger, all
//! checksums, all bytes.
//!
//! The self-test is written into a free slot, which remains free, and is in no counter: see
//! [`crashlog_format::ledger`].

use crate::port::{Exchange, Port, PortError, run_polled};
use crate::{CrashReadError, MountError, PartitionError, Store, StoreOptions, find_partition};
use block_device::{BLOCK_WORDS, Block, PolledDevice};
use crashlog_format::CrashReason;
use crashlog_retained::{CrashContext, Region, StoredContext};

/// The message of a self-test.
pub const MARKER: &str = "self-test of the emergency path: nothing has crashed";

/// The fault bytes of a self-test: no variant of `FaultInfo` has this index.
const NO_FAULT: [u8; 1] = [u8::MAX];

/// Length of the pattern that is written in place of a stack, in bytes: one block, whose words are
/// all different.
const PATTERN_LEN: usize = 512;

/// Scratch memory is filled with this word, so that a read that transfers nothing is detected. No
/// structure has it as its magic.
const UNREAD: u32 = 0x7E57_7E57;

/// How a self-test that was reported as durable differs from what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<E> {
    /// The device failed.
    Device(E),
    /// The partition was not found again, or not mounted.
    Lost,
    /// The newest ledger does not name the self-test.
    NotNamed,
    /// The header is damaged, or that of another crash.
    Header,
    /// The bytes of the segment with this index do not match their checksum.
    Checksum(u8),
    /// The block with this index differs from what was written.
    Block(u8),
}

/// Writes the description of a self-test into the mailbox, in place of a crash. The mailbox is not
/// armed. `None` if the region has no room for it. `image_id` is that of the running image.
///
/// The mailbox must not hold a crash that is not written yet: it would be lost.
pub fn describe<'a>(
    region: &Region<'a>,
    task: u16,
    name: &str,
    time: u64,
    image_id: u64,
) -> Option<StoredContext<'a>> {
    let mailbox = region.mailbox();
    let mut context = CrashContext::new(CrashReason::SelfTest, task, name, &NO_FAULT);
    context.time = time;
    context.boot = region.boot();
    context.image_id = image_id;
    let mut writer = mailbox.write_crash()?;
    writer.message(MARKER.as_bytes());
    writer.stack_at(0, PATTERN_LEN as u32);
    for word in 0..PATTERN_LEN as u32 / 4 {
        writer.stack(&word.wrapping_mul(0x9E37_79B1).to_le_bytes());
    }
    writer.finish(&context);
    mailbox.crash()
}

/// Reads the self-test with this sequence number and compares it with `stored`, which was written.
/// `scratch` is three blocks or more.
///
/// # Errors
/// See [`Mismatch`].
// Not inlined, so that its stack frame does not exist while the self-test is written.
#[inline(never)]
pub fn verify<D: PolledDevice>(
    device: &mut D,
    partition: &str,
    sequence: u32,
    stored: &StoredContext<'_>,
    scratch: &[Block],
) -> Result<(), Mismatch<D::Error>> {
    for block in scratch {
        block.fill(UNREAD);
    }
    let exchange = Exchange::over([scratch, &[], &[]]);
    let mut card = Port::new(&exchange, device.block_count());
    let reading = async {
        let found = find_partition(&mut card, partition, scratch)
            .await
            .map_err(|error| match error {
                PartitionError::Device(error) => read_failed(error),
                _ => Mismatch::Lost,
            })?;
        let window = card.window(found.place.first, found.place.blocks);
        let window = window.ok_or(Mismatch::Lost)?;
        // Has no effect, as nothing is written.
        let options = StoreOptions { keep_first: 0 };
        let mut place = None;
        let store = Store::mount_in(&mut place, window, &found, options, None, scratch)
            .await
            .map_err(|error| match error {
                MountError::Device(error) => read_failed(error),
                _ => Mismatch::Lost,
            })?;
        compare(store, sequence, stored).await
    };
    let mut last = None;
    run_polled(device, &exchange, reading, &mut last).map_err(|mismatch| explain(mismatch, last))
}

/// Compares what is on the card with what was written.
async fn compare(
    store: &mut Store<'_, Port<'_, '_>>,
    sequence: u32,
    stored: &StoredContext<'_>,
) -> Result<(), Mismatch<()>> {
    if store
        .self_test()
        .is_none_or(|test| test.sequence != sequence)
    {
        return Err(Mismatch::NotNamed);
    }
    let crash = store
        .open_crash(sequence)
        .await
        .map_err(|error| match error {
            CrashReadError::Device(error) => read_failed(error),
            _ => Mismatch::Header,
        })?;
    let is_ours = crash.header.reason() == Ok(CrashReason::SelfTest)
        && crash.header.time.get() == stored.context.time
        && crash.header.image_id.get() == stored.context.image_id
        && crash.segments().len() == 2;
    if !is_ours {
        return Err(Mismatch::Header);
    }
    for index in 0..crash.segments().len() {
        match crash.check(store, index).await {
            Ok(true) => {}
            Ok(false) => return Err(Mismatch::Checksum(index as u8)),
            Err(CrashReadError::Device(error)) => return Err(read_failed(error)),
            Err(_) => return Err(Mismatch::Header),
        }
    }
    for (index, written) in (0u8..).zip(stored.crash_blocks()) {
        let block = crash.first.saturating_add(index.into());
        let read = store.read_block(block).await.map_err(read_failed)?;
        if (0..BLOCK_WORDS).any(|word| read.word(word) != written.word(word)) {
            return Err(Mismatch::Block(index));
        }
    }
    Ok(())
}

fn read_failed(error: PortError) -> Mismatch<()> {
    match error {
        PortError::Device => Mismatch::Device(()),
        PortError::Refused => Mismatch::Lost,
    }
}

/// Replaces the port's error by that of the device.
fn explain<E>(mismatch: Mismatch<()>, last: Option<E>) -> Mismatch<E> {
    match mismatch {
        Mismatch::Device(()) => last.map_or(Mismatch::Lost, Mismatch::Device),
        Mismatch::Lost => Mismatch::Lost,
        Mismatch::NotNamed => Mismatch::NotNamed,
        Mismatch::Header => Mismatch::Header,
        Mismatch::Checksum(segment) => Mismatch::Checksum(segment),
        Mismatch::Block(block) => Mismatch::Block(block),
    }
}
