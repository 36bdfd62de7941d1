//! Reading and writing the ledger on the card.
//!
//! The newest of the two copies counts. Only the older one is written, so the newest is intact at
//! any moment. A damaged copy is replaced by what the crash headers in the slots tell
//! ([`Ledger::restore`]): no crash is lost with a ledger.

use crate::segment;
use crate::store::{Store, read_one};
use block_device::{BLOCK_LEN, Block, BlockDevice};
use crashlog_format::crash::CrashHeader;
use crashlog_format::ledger::Ledger;
use crashlog_format::{FormatId, Geometry};
use zerocopy::{FromZeros, IntoBytes};

/// How often a copy that fails its check is read: a bit may be flipped in the transfer and not on
/// the card.
const READS: usize = 2;
/// Number of copies.
const COPIES: usize = 2;

/// Reads the newest ledger of a partition into `ledger`. If a copy is damaged, the crashes that it
/// may have named are restored from their slots, and all slots may be taken then
/// ([`Ledger::make_room`]). Returns how many copies pass their check, 0 to 2. The host tool finds
/// the same crashes by this function.
///
/// If one copy is damaged, it may have been newer by one change. If that change was a new crash,
/// the crash is whole, as it was flushed before the ledger was written, and it has the sequence
/// number that is next by the other copy.
///
/// `scratch` is one block or more.
///
/// # Errors
/// Those of the device.
// By reference: an asynchronous function that returned a ledger would add 512 bytes to the future
// of each caller.
pub async fn find_ledger<D: BlockDevice>(
    device: &mut D,
    format: FormatId,
    geometry: &Geometry,
    scratch: &[Block],
    ledger: &mut Ledger,
) -> Result<usize, D::Error> {
    let mut odd = Ledger::new_zeroed();
    let is_even = read_copy(device, format, geometry, 0, scratch, ledger).await?;
    let is_odd = read_copy(device, format, geometry, 1, scratch, &mut odd).await?;
    if is_odd && !(is_even && ledger.is_newer_than(&odd)) {
        ledger.clone_from(&odd);
    }
    if is_even && is_odd {
        return Ok(COPIES);
    }
    let next_only = is_even || is_odd;
    if !next_only {
        ledger.clone_from(&Ledger::empty(format, geometry.slots(), 0));
    }
    restore(device, format, geometry, ledger, scratch, next_only).await?;
    Ok(usize::from(next_only))
}

/// Reads the copy of even (0) or odd (1) generations. Returns whether it passes its check.
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

/// Enters undamaged crashes into `ledger` that are in slots it has as free: all, or only the one
/// whose sequence number is next.
async fn restore<D: BlockDevice>(
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
        let mut bytes = [0; BLOCK_LEN];
        block.copy_to(0, &mut bytes);
        let Ok((header, segments)) = CrashHeader::parse(&bytes, format, geometry.slot_blocks())
        else {
            continue;
        };
        if next_only && header.sequence.get() != ledger.next_sequence() {
            continue;
        }
        let mut whole = true;
        for segment in segments.iter().take(header.segments()) {
            whole &= segment::is_undamaged(device, first, segment, scratch).await?;
        }
        if whole {
            ledger.restore(slot, &header);
        }
    }
    Ok(())
}

impl<D: BlockDevice> Store<'_, D> {
    /// Makes sure that [`Store::ledger`] is the newest one on the card; needed before each change.
    /// After a failed write of the ledger it is read again, after a flush: the write may have
    /// succeeded, and then nothing is left to do.
    ///
    /// If it is dropped before its end, the next call begins again; until then [`Store::ledger`]
    /// may be read in part.
    ///
    /// `false` if it was read again, and no copy has passed its check.
    pub(crate) async fn refresh_ledger(&mut self) -> Result<bool, D::Error> {
        if self.uncertain {
            self.device.flush().await?;
            let format = self.format;
            let result = find_ledger(
                &mut self.device,
                format,
                &self.geometry,
                self.scratch,
                &mut self.ledger,
            )
            .await;
            if result.is_err() {
                // It was read in part only, and its readers do not look at `uncertain`.
                self.ledger.zero();
            }
            let sound = result?;
            if sound < COPIES {
                self.ledger.make_room(self.keep_first);
            }
            self.uncertain = false;
            return Ok(sound > 0);
        }
        Ok(true)
    }

    /// Writes `ledger` over the older copy and makes it durable. What it names has to be durable
    /// already.
    ///
    /// If it is dropped before its end, or fails, [`Store::ledger`] is unchanged, and is read again
    /// before the next change.
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
