//! The self-test of the emergency path: what is written, and whether it can be read back.
//!
//! A record that is marked as a test goes through [`crate::emergency::write`], like that of a crash. Then the card is
//! mounted as if nothing were known about it, and everything about the record is held against what was to be written:
//! the ledger's entry, every checksum, every byte.
//!
//! The record stands in a free slot, which stays free, and is in no counter: see [`crashlog_format::ledger`].

use crate::port::{Exchange, Port, PortError, run_polled};
use crate::{MountError, Options, PartitionError, ReadError, Store, find_partition};
use block_device::{BLOCK_WORDS, Block, PolledDevice};
use crashlog_format::Reason;
use crashlog_retained::{CrashContext, Region, StoredContext};

/// What the record of a self-test says.
pub const MARKER: &str = "self-test of the emergency path: nothing has crashed";

/// `FaultInfo` of a record that is about no fault.
const NO_FAULT: [u8; 1] = [u8::MAX];

/// Bytes that stand in for a stack: a whole block, each word of it another.
const PATTERN_LEN: usize = 512;

/// Not a value that any structure begins with: what a read leaves as it was is noticed.
const UNREAD: u32 = 0x7E57_7E57;

/// Why a record that was reported durable is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch<E> {
    /// The device failed.
    Device(E),
    /// The partition is not found any more, or what is in it does not mount.
    Lost,
    /// The newest ledger does not name the record.
    NotNamed,
    /// The header does not pass its check, or is another's.
    Header,
    /// The bytes of this segment do not match their checksum.
    Checksum(u8),
    /// This block of the record is another than was written.
    Block(u8),
}

/// Describes a self-test in the mailbox, in place of a crash; it is not armed. `None` if the region has no room for it.
///
/// Nothing may wait in the mailbox: what it holds is replaced.
pub fn describe<'a>(
    region: &Region<'a>,
    task: u16,
    name: &str,
    time: u64,
) -> Option<StoredContext<'a>> {
    let mailbox = region.mailbox();
    let mut context = CrashContext::new(Reason::SelfTest, task, name, &NO_FAULT);
    context.time = time;
    context.boot = region.boot();
    let mut writer = mailbox.write_crash()?;
    writer.message(MARKER.as_bytes());
    writer.stack_at(0, PATTERN_LEN as u32);
    for word in 0..PATTERN_LEN as u32 / 4 {
        writer.stack(&word.wrapping_mul(0x9E37_79B1).to_le_bytes());
    }
    writer.finish(&context);
    mailbox.crash()
}

/// Reads the record `sequence` back and holds it against `stored`, which was written. `scratch` is three blocks or more.
///
/// # Errors
/// See [`Mismatch`].
// Not inlined, so that its stack is not there while the record is written.
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
        let window = card.window(found.first, found.blocks);
        let window = window.ok_or(Mismatch::Lost)?;
        // Nothing is written, so how many records would be kept does not matter.
        let options = Options { keep_first: 0 };
        let mut place = None;
        let store = Store::mount_in(&mut place, window, options, scratch)
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
    let record = store
        .open_record(sequence)
        .await
        .map_err(|error| match error {
            ReadError::Device(error) => read_failed(error),
            _ => Mismatch::Header,
        })?;
    let is_ours = record.header.reason() == Ok(Reason::SelfTest)
        && record.header.time.get() == stored.context.time
        && record.segments().len() == 2;
    if !is_ours {
        return Err(Mismatch::Header);
    }
    for index in 0..record.segments().len() {
        match record.check(store, index).await {
            Ok(true) => {}
            Ok(false) => return Err(Mismatch::Checksum(index as u8)),
            Err(ReadError::Device(error)) => return Err(read_failed(error)),
            Err(_) => return Err(Mismatch::Header),
        }
    }
    for (index, written) in (0u8..).zip(stored.crash_blocks()) {
        let block = record.first.saturating_add(index.into());
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

/// With the device's own error.
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
