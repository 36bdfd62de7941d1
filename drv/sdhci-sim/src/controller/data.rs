//! The data circuit: blocks between the card and the buffer port or memory.

use super::{ControllerActivity, SimController};
use crate::card::CardResponse;
use crate::fault::InjectedFault;
use drv_sdhci::registers::Interrupt;

/// What the data circuit is doing.
#[derive(Clone)]
enum DataStep {
    /// A block is on the bus, or waits for it, until this time.
    Bus(u64),
    /// The processor has to move the block through the buffer port.
    Buffer,
    /// The data time-out ends the wait.
    Timeout(u64),
    /// Nothing happens any more, until the circuit is reset.
    Stalled,
    /// The last block has been moved.
    Ending,
}

/// A data phase.
#[derive(Clone)]
pub(crate) struct DataPhase {
    read: bool,
    dma: bool,
    multiple: bool,
    auto_cmd12: bool,
    block_words: usize,
    /// Blocks that have not been moved.
    left: u16,
    /// The block that is being moved, from 0.
    number: u16,
    step: DataStep,
    words: Vec<u32>,
    /// Next word in the buffer.
    position: usize,
    /// Where the next descriptor is.
    descriptor: u32,
    /// What is left of the current descriptor: address and bytes.
    run: (u32, u32),
    /// The current descriptor is marked as the last.
    last_descriptor: bool,
    faults: Vec<InjectedFault>,
    /// Host and card agree on width and timing of the bus.
    bus_fits: bool,
}

impl DataPhase {
    pub(super) fn new(
        transfer: u32,
        blocks: u32,
        descriptor: u32,
        due: u64,
        faults: Vec<InjectedFault>,
        bus_fits: bool,
    ) -> Self {
        let counted = transfer & (1 << 1) != 0;
        let multiple = transfer & (1 << 5) != 0;
        Self {
            read: transfer & (1 << 4) != 0,
            dma: transfer & 1 != 0,
            multiple,
            auto_cmd12: transfer >> 2 & 3 == 1,
            block_words: (blocks & 0xFFF) as usize / 4,
            left: if multiple && counted {
                (blocks >> 16) as u16
            } else {
                1
            },
            number: 0,
            step: DataStep::Bus(due),
            words: Vec::new(),
            position: 0,
            descriptor,
            run: (0, 0),
            last_descriptor: false,
            faults,
            bus_fits,
        }
    }

    /// The card refused: the phase never begins.
    pub(super) fn never(mut self) -> Self {
        self.step = DataStep::Stalled;
        self
    }

    pub(super) fn is_read(&self) -> bool {
        self.read
    }

    pub(super) fn activity(&self) -> ControllerActivity {
        ControllerActivity::Data {
            read: self.read,
            multiple: self.multiple,
            dma: self.dma,
            left: self.left,
        }
    }

    pub(super) fn is_buffer_ready(&self) -> bool {
        matches!(self.step, DataStep::Buffer)
    }

    pub(super) fn due(&self) -> Option<u64> {
        match self.step {
            DataStep::Bus(due) | DataStep::Timeout(due) => Some(due),
            _ => None,
        }
    }

    fn has(&self, fault: InjectedFault) -> bool {
        self.faults.contains(&fault)
    }
}

impl SimController {
    pub(super) fn blocks_register(&self) -> u32 {
        match &self.data {
            Some(data) => self.blocks & 0xFFFF | u32::from(data.left) << 16,
            None => self.blocks,
        }
    }

    /// Carries out the next event that is due; false if there is none.
    pub(super) fn data_step(&mut self) -> bool {
        let Some(mut data) = self.data.take() else {
            return false;
        };
        let again = match data.step {
            DataStep::Bus(due) if due <= self.now => self.bus_step(&mut data),
            DataStep::Timeout(due) if due <= self.now => {
                if let Some(card) = &mut self.card {
                    card.data_timed_out();
                }
                Err(Interrupt::DATA_TIMEOUT::SET.value)
            }
            DataStep::Ending => {
                self.end(&data);
                return true;
            }
            _ => Ok(false),
        };
        match again {
            Ok(again) => {
                self.data = Some(data);
                again
            }
            Err(error) => {
                self.raise(error);
                data.step = DataStep::Stalled;
                self.data = Some(data);
                false
            }
        }
    }

    /// Moves a block over the bus. `Ok(true)` if something has changed; an error bit if it failed.
    fn bus_step(&mut self, data: &mut DataPhase) -> Result<bool, u32> {
        let number = data.number;
        if data.has(InjectedFault::DataStall(number)) {
            data.step = DataStep::Stalled;
            return Ok(false);
        }
        if data.has(InjectedFault::DataTimeout(number)) {
            data.step = DataStep::Timeout(self.now + self.timing.data_timeout_us);
            return Ok(false);
        }
        if data.has(InjectedFault::Adma(number)) && data.dma {
            return Err(Interrupt::ADMA::SET.value);
        }
        if data.read {
            self.read_step(data)
        } else {
            self.write_step(data)
        }
    }

    /// The error bit of a block that is damaged on the bus.
    fn damage(data: &DataPhase) -> Result<(), u32> {
        if data.has(InjectedFault::DataCrc(data.number)) || !data.bus_fits {
            return Err(Interrupt::DATA_CRC::SET.value);
        }
        if data.has(InjectedFault::DataEndBit(data.number)) {
            return Err(Interrupt::DATA_END_BIT::SET.value);
        }
        Ok(())
    }

    fn read_step(&mut self, data: &mut DataPhase) -> Result<bool, u32> {
        let Some(card) = &mut self.card else {
            data.step = DataStep::Stalled;
            return Ok(false);
        };
        let Some(words) = card.send_block(self.now) else {
            data.step = DataStep::Timeout(self.now + self.timing.data_timeout_us);
            return Ok(false);
        };
        Self::damage(data)?;
        if words.len() < data.block_words {
            // The lines are idle where the controller expects more bits and the CRC.
            return Err(Interrupt::DATA_CRC::SET.value);
        }
        data.words = words;
        data.words.truncate(data.block_words);
        if data.has(InjectedFault::DataFlipped(data.number)) {
            data.words.iter_mut().for_each(|word| *word ^= 1);
        }
        data.position = 0;
        if !data.dma {
            data.step = DataStep::Buffer;
            self.raise(Interrupt::BUFFER_READ_READY::SET.value);
            return Ok(true);
        }
        for word in std::mem::take(&mut data.words) {
            let address = self.next_address(data)?;
            self.memory
                .write(address, word)
                .ok_or(Interrupt::ADMA::SET.value)?;
        }
        self.next_block(data);
        Ok(true)
    }

    fn write_step(&mut self, data: &mut DataPhase) -> Result<bool, u32> {
        if data.words.is_empty() {
            if !data.dma {
                data.step = DataStep::Buffer;
                self.raise(Interrupt::BUFFER_WRITE_READY::SET.value);
                return Ok(true);
            }
            for _ in 0..data.block_words {
                let address = self.next_address(data)?;
                data.words.push(self.dma_read(address)?);
            }
            data.step = DataStep::Bus(self.now + self.timing.block_us);
            return Ok(true);
        }
        let damage = Self::damage(data);
        let words = std::mem::take(&mut data.words);
        let now = self.now;
        match &mut self.card {
            Some(card) if damage.is_ok() => card.receive_block(now, &words),
            _ => {}
        }
        damage?;
        self.next_block(data);
        Ok(true)
    }

    fn next_block(&mut self, data: &mut DataPhase) {
        data.left -= 1;
        data.number += 1;
        data.position = 0;
        data.step = if data.left == 0 {
            DataStep::Ending
        } else {
            DataStep::Bus(self.now + self.timing.block_us)
        };
    }

    fn end(&mut self, data: &DataPhase) {
        self.blocks &= 0xFFFF;
        // The descriptors have to describe as much as the transfer moves (SDHCI 2.2.30).
        if data.dma && (data.run.1 != 0 || !data.last_descriptor) {
            self.adma_error = 1 << 2;
            return self.raise(Interrupt::ADMA::SET.value);
        }
        if data.auto_cmd12 {
            self.log.push((12, 0));
            let now = self.now;
            for fault in &data.faults {
                if let (InjectedFault::StopRefused(bits), Some(card)) = (fault, &mut self.card) {
                    card.refuse_next(*bits);
                }
            }
            let answer = self
                .card
                .as_mut()
                .and_then(|card| card.command(now, 12, 0).response);
            match answer {
                Some(CardResponse::Short(word)) if !data.has(InjectedFault::AutoCommand) => {
                    self.response[3] = word;
                }
                _ => return self.raise(Interrupt::AUTO_COMMAND::SET.value),
            }
        }
        if data.read {
            self.raise_complete();
        } else {
            self.await_busy();
        }
    }

    /// The word at a bus address, as DMA sees it.
    fn dma_read(&mut self, address: u32) -> Result<u32, u32> {
        let word = self.memory.read(address);
        if word.is_none() && self.memory.is_memory(address) {
            self.violation(format!("DMA from {address:#x}, with no barrier before it"));
        }
        word.ok_or(Interrupt::ADMA::SET.value)
    }

    /// The address of the next word, from the descriptors.
    fn next_address(&mut self, data: &mut DataPhase) -> Result<u32, u32> {
        let error = Interrupt::ADMA::SET.value;
        if data.run.1 == 0 {
            let attributes = self.dma_read(data.descriptor)?;
            let address = self.dma_read(data.descriptor + 4)?;
            // Valid, and "transfer data" as the action.
            if attributes & 0x31 != 0x21 || data.last_descriptor {
                self.adma_error = 1;
                return Err(error);
            }
            data.last_descriptor = attributes & 2 != 0;
            let bytes = match attributes >> 16 {
                0 => 0x1_0000,
                bytes => bytes,
            };
            data.run = (address, bytes);
            data.descriptor += 8;
        }
        let (address, bytes) = data.run;
        data.run = (address + 4, bytes - 4);
        Ok(address)
    }

    pub(super) fn read_buffer(&mut self) -> u32 {
        let Some(mut data) = self.data.take() else {
            self.violation("the buffer port is read without a transfer".into());
            return 0;
        };
        let mut word = 0;
        if data.read && data.is_buffer_ready() {
            word = data.words.get(data.position).copied().unwrap_or(0);
            data.position += 1;
            if data.position >= data.block_words {
                data.words.clear();
                self.next_block(&mut data);
            }
        } else {
            self.violation("the buffer port is read while it is empty".into());
        }
        self.data = Some(data);
        while self.data_step() {}
        word
    }

    pub(super) fn write_buffer(&mut self, word: u32) {
        let Some(mut data) = self.data.take() else {
            return self.violation("the buffer port is written without a transfer".into());
        };
        if !data.read && data.is_buffer_ready() {
            data.words.push(word);
            if data.words.len() >= data.block_words {
                data.step = DataStep::Bus(self.now + self.timing.block_us);
            }
        } else {
            self.violation("the buffer port is written while it is full".into());
        }
        self.data = Some(data);
    }
}
