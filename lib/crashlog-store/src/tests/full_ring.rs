//! A boot that finds the log ring full.

use super::recorder::*;
use crate::*;
use block_device::{Block, BlockDevice};
use crashlog_retained::{AppendError, LogRing, MAX_RUN};

/// A partition during whose reads a client tries to log, as the server goes on meanwhile.
struct Busy<'r, 'm> {
    partition: TestPartition,
    ring: &'r LogRing<'m>,
    accepted: u32,
}

impl BlockDevice for Busy<'_, '_> {
    type Error = Failed;

    fn block_count(&self) -> u64 {
        BlockDevice::block_count(&self.partition)
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        if log(self.ring).is_ok() {
            self.accepted += 1;
        }
        BlockDevice::read(&mut self.partition, first, blocks).await
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Failed> {
        BlockDevice::write(&mut self.partition, first, blocks).await
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Failed> {
        BlockDevice::write_reliable(&mut self.partition, block, data).await
    }

    async fn flush(&mut self) -> Result<(), Failed> {
        BlockDevice::flush(&mut self.partition).await
    }
}

/// A client logs a record.
fn log(ring: &LogRing<'_>) -> Result<u32, AppendError> {
    ring.append(&line(1), &[b'.'; 200])
}

/// Pages whose write was interrupted are released together, when the search for the log has ended:
/// as long as it waits for the card no client's record is accepted, so the first one of the boot is
/// the boot record.
#[test]
fn a_full_ring_stays_full_until_the_log_is_found() {
    let card = small_card();
    let memory = retained_memory();
    let mut recorder = TestRecorder::start(&card, &memory, true).unwrap();
    while log(&recorder.ring).is_ok() {}
    let numbering = recorder.store.numbering(recorder.region.boot_offset());
    let run = recorder.ring.next_run(&numbering, MAX_RUN).unwrap();
    let count = run.blocks.len() as u32;
    now(recorder.store.write_pages(run.blocks)).unwrap();

    // The system is reset before the pages are released.
    let region = recorder.region;
    region.begin_boot();
    let (ring, _) = LogRing::recover(&region);
    assert_eq!(log(&ring), Err(AppendError::Full));
    let device = Busy {
        partition: window(&card),
        ring: &ring,
        accepted: 0,
    };
    let mut store = now(Store::mount(
        device,
        &table_entry(&card),
        OPTIONS,
        region.scratch(),
    ))
    .unwrap();
    assert_eq!(now(store.reconcile(&ring)), Ok(count));
    assert_eq!((store.device().accepted, ring.accepted()), (0, 0));
    assert_eq!(log(&ring), Ok(1));
}
