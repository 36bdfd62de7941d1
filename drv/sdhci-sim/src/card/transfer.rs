//! Blocks between the bus, the cache and the memory of a card.

use super::{SimCard, SimCardState, TransferSource};

/// Bit of the status: an error that has no bit of its own (SD 4.10.1, eMMC 6.13).
const ERROR: u32 = 1 << 19;

impl SimCard {
    pub(super) fn program(&mut self, now: u64, us: u64) {
        self.state = SimCardState::Programming;
        self.busy_until = now.saturating_add(self.next_busy.take().unwrap_or(us));
    }

    /// Whether a block can be transferred; sets the error bit if not.
    pub(super) fn check(&mut self, block: u32, write: bool) -> bool {
        if block >= self.blocks {
            self.errors |= 1 << 31;
            return false;
        }
        if write
            && self
                .protected
                .as_ref()
                .is_some_and(|range| range.contains(&block))
        {
            self.errors |= 1 << 26;
            return false;
        }
        true
    }

    /// The next block of a read; `None` if none comes.
    pub(crate) fn send_block(&mut self, _: u64) -> Option<Vec<u32>> {
        if self.state != SimCardState::Sending {
            return None;
        }
        let mut transfer = self.transfer.take()?;
        let words = match &mut transfer.source {
            TransferSource::Register(words) => words.clone(),
            TransferSource::Memory(next) => {
                let block = *next;
                if !self.check(block, false) {
                    self.transfer = Some(transfer);
                    return None;
                }
                *next += 1;
                let mut words = self.block(self.selected(block));
                words.truncate(self.bytes_of_block() as usize / 4);
                words
            }
        };
        match &mut transfer.left {
            Some(1) => self.state = SimCardState::Transfer,
            Some(left) => {
                *left -= 1;
                self.transfer = Some(transfer);
            }
            None => self.transfer = Some(transfer),
        }
        Some(words)
    }

    /// Takes the next block of a write, which has arrived intact.
    pub(crate) fn receive_block(&mut self, now: u64, words: &[u32]) {
        if self.state != SimCardState::Receiving {
            return;
        }
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        let TransferSource::Memory(next) = &mut transfer.source else {
            return;
        };
        let block = *next;
        *next += 1;
        if std::mem::take(&mut self.unprogrammed) {
            self.late_error = ERROR;
        } else if self.check(block, true) {
            self.store(self.selected(block), words, transfer.reliable);
        }
        let us = self.stalled(self.program_us);
        match &mut transfer.left {
            Some(1) => self.program(now, us),
            Some(left) => {
                *left -= 1;
                self.transfer = Some(transfer);
            }
            None => self.transfer = Some(transfer),
        }
    }

    pub(super) fn store(&mut self, block: u32, words: &[u32], reliable: bool) {
        self.last_written = Some(block);
        if reliable {
            self.reliable.insert(block);
        }
        let volatile = self.ext_csd[33] & 1 != 0 && !reliable;
        if volatile {
            self.cached.insert(block, words.to_vec());
        } else {
            self.cached.remove(&block);
            self.memory.insert(block, words.to_vec());
        }
    }

    pub(super) fn flush(&mut self) {
        let mut cached = std::mem::take(&mut self.cached);
        self.memory.append(&mut cached);
    }
}
