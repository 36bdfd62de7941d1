//! Reading and writing the ledger.

use crate::store::{Store, read_one};
use block_device::{Block, BlockDevice};
use crashlog_format::ledger::{Entry, Ledger};
use crashlog_format::record::CrashHeader;
use crashlog_format::{FormatId, Geometry, Reason};
use zerocopy::{FromZeros, IntoBytes};

/// How often a copy that does not pass its check is read: a flipped bit on the way is not one on the card.
const READS: usize = 2;

/// Reads the newest ledger of a partition into `ledger`, finding again what a damaged one can have named.
// Ledgers are handed on by reference: each one returned by an asynchronous function is 512 bytes more in every future
// on the way.
pub(crate) async fn read_newest<D: BlockDevice>(
    device: &mut D,
    format: FormatId,
    geometry: &Geometry,
    keep_first: u32,
    scratch: &[Block],
    ledger: &mut Ledger,
) -> Result<(), D::Error> {
    let mut odd = Ledger::new_zeroed();
    let is_even = read_copy(device, format, geometry, 0, scratch, ledger).await?;
    let is_odd = read_copy(device, format, geometry, 1, scratch, &mut odd).await?;
    if is_odd && !(is_even && ledger.is_newer_than(&odd)) {
        ledger.clone_from(&odd);
    }
    if is_even && is_odd {
        return Ok(());
    }
    // If only one is damaged, it may have been newer by one change. If that was a new record, it is in the slot that the
    // sound ledger would choose, whole: the ledger is written after it was flushed.
    let next_only = is_even || is_odd;
    if !next_only {
        ledger.clone_from(&Ledger::rebuilt(format, geometry.slots(), 0));
    }
    find_again(device, format, geometry, ledger, scratch, next_only).await?;
    ledger.make_room(keep_first);
    Ok(())
}

/// Reads one of the copies; says whether it passes its check.
async fn read_copy<D: BlockDevice>(
    device: &mut D,
    format: FormatId,
    geometry: &Geometry,
    parity: u32,
    scratch: &[Block],
    ledger: &mut Ledger,
) -> Result<bool, D::Error> {
    for _ in 0..READS {
        let block = read_one(device, scratch, geometry.ledger(parity)).await?;
        FromZeros::zero(ledger);
        ledger.load(|offset, out| block.copy_to(offset, out));
        if ledger.check(format, geometry).is_ok() && ledger.generation() % 2 == parity {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Enters whole records into `ledger` that are in slots it takes for free: only the next one, or whatever there is.
async fn find_again<D: BlockDevice>(
    device: &mut D,
    format: FormatId,
    geometry: &Geometry,
    ledger: &mut Ledger,
    scratch: &[Block],
    next_only: bool,
) -> Result<(), D::Error> {
    for slot in 0..geometry.slots() {
        let Some(first) = geometry.slot(slot) else {
            continue;
        };
        if ledger.entry(slot).is_some() {
            continue;
        }
        let block = read_one(device, scratch, first).await?;
        let mut bytes = [0; block_device::BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let Ok((header, segments)) = CrashHeader::parse(&bytes, format, geometry.slot_blocks())
        else {
            continue;
        };
        if header.sequence.get() == 0 || next_only && header.sequence.get() != ledger.next_record()
        {
            continue;
        }
        let mut whole = true;
        for segment in segments.iter().take(header.segments()) {
            whole &= crate::records::segment_holds(device, first, segment, scratch).await?;
        }
        if whole {
            let entry = Entry {
                sequence: header.sequence,
                signature: header.signature,
                repeats: 0.into(),
                last_boot: header.boot,
                last_time: u32::try_from(header.time.get()).unwrap_or(u32::MAX).into(),
            };
            if header.reason() == Ok(Reason::SelfTest) {
                ledger.insert_self_test(slot, &entry);
            } else {
                ledger.insert(slot, &entry);
            }
            ledger.raise(&header.counters, header.boot.get());
        }
    }
    Ok(())
}

impl<D: BlockDevice> Store<'_, D> {
    /// Makes sure that [`Store::ledger`] is the newest on the card before it is changed. If a write of it failed, what
    /// came of that is made durable first: it may be all that has to be done.
    pub(crate) async fn settle_ledger(&mut self) -> Result<(), D::Error> {
        if self.uncertain {
            self.device.flush().await?;
            let (format, keep_first) = (self.format, self.keep_first);
            let result = read_newest(
                &mut self.device,
                format,
                &self.geometry,
                keep_first,
                self.scratch,
                &mut self.ledger,
            )
            .await;
            if result.is_err() {
                // What was read of it is not to be shown to anybody.
                self.ledger.zero();
            }
            result?;
            self.uncertain = false;
        }
        Ok(())
    }

    /// Writes `ledger` over the older copy. What it names must be flushed before.
    pub(crate) async fn write_ledger(&mut self, ledger: &mut Ledger) -> Result<(), D::Error> {
        ledger.seal(self.format);
        let Some(block) = self.scratch.first() else {
            return Ok(());
        };
        block.copy_from(0, ledger.as_bytes());
        let to = self.geometry.ledger(ledger.generation());
        self.uncertain = true;
        self.device.write_reliable(to.into(), block).await?;
        self.device.flush().await?;
        self.uncertain = false;
        self.ledger.clone_from(ledger);
        Ok(())
    }
}
