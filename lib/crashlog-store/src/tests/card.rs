//! A simulated card: it caches, reorders, tears, lies, loses power and forgets, on demand and repeatably.

use block_device::{BLOCK_LEN, Block, BlockDevice, PolledDevice};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub type Bytes = [u8; BLOCK_LEN];

/// Why the card did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no power any more.
    PowerLost,
    /// This block cannot be read.
    Unreadable,
    /// A write or a flush failed, this once.
    Failed,
    /// There is no such block.
    OutOfRange,
}

/// What of the blocks written since the last flush is on the card after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing of it.
    None,
    /// All of it.
    All,
    /// The first so many writes.
    Prefix(usize),
    /// One write alone.
    Only(usize),
    /// All but one write.
    AllBut(usize),
    /// One write is torn in the middle, those before are there.
    Torn(usize),
    /// One write is torn in the middle, all others are there.
    TornAmongAll(usize),
    /// Any of them, some torn, by this number.
    Random(u64),
}

impl Survivors {
    /// Every way to lose some of `count` writes that is tried exhaustively.
    pub fn each(count: usize) -> Vec<Self> {
        let mut each = vec![Self::None, Self::All];
        for write in 0..count {
            each.extend([Self::Prefix(write), Self::Only(write), Self::AllBut(write)]);
            each.extend([Self::Torn(write), Self::TornAmongAll(write)]);
        }
        each
    }

    /// Is write `index` there: not at all, torn, or whole?
    fn keeps(self, index: usize) -> Option<bool> {
        let whole = |kept: bool| kept.then_some(true);
        match self {
            Self::None => None,
            Self::All => Some(true),
            Self::Prefix(count) => whole(index < count),
            Self::Only(write) => whole(index == write),
            Self::AllBut(write) => whole(index != write),
            Self::Torn(write) if index == write => Some(false),
            Self::Torn(write) => whole(index < write),
            Self::TornAmongAll(write) => Some(index != write),
            Self::Random(seed) => match mix(seed ^ mix(index as u64)) % 8 {
                0..3 => None,
                3 => Some(false),
                _ => Some(true),
            },
        }
    }
}

/// A number that looks random.
pub fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// What a block holds that was never written.
type Background = Rc<dyn Fn(u64) -> Option<Bytes>>;

#[derive(Clone)]
struct State {
    count: u64,
    durable: BTreeMap<u64, Bytes>,
    /// Written since the last flush, in order.
    cache: Vec<(u64, Bytes)>,
    background: Option<Background>,
    /// Block writes and flushes that are still possible.
    power: Option<usize>,
    /// The block write or flush, counted from now, that fails; whether the block is written all the same.
    failure: Option<(usize, bool)>,
    /// Does a flush not make anything durable?
    lies: bool,
    unreadable: BTreeSet<u64>,
    /// At this block read, counted from now, flip this bit.
    flip: Option<(usize, usize)>,
    counts: Counts,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks read.
    pub read: usize,
    /// Commands that read.
    pub read_commands: usize,
    /// Blocks written.
    pub written: usize,
    /// Flushes.
    pub flushes: usize,
}

/// The card. A clone is the same card.
#[derive(Clone)]
pub struct Card(Rc<RefCell<State>>);

impl Card {
    pub fn new(count: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            count,
            durable: BTreeMap::new(),
            cache: Vec::new(),
            background: None,
            power: None,
            failure: None,
            lies: false,
            unreadable: BTreeSet::new(),
            flip: None,
            counts: Counts::default(),
        })))
    }

    /// Another card that holds the same.
    pub fn duplicate(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    pub fn set_background(&self, background: impl Fn(u64) -> Option<Bytes> + 'static) {
        self.0.borrow_mut().background = Some(Rc::new(background));
    }

    /// Loses power after so many block writes and flushes.
    pub fn cut_after(&self, steps: usize) {
        self.0.borrow_mut().power = Some(steps);
    }

    /// Fails once, after so many block writes and flushes; what was to be written is there if `written`.
    pub fn fail_after(&self, steps: usize, written: bool) {
        self.0.borrow_mut().failure = Some((steps, written));
    }

    /// Has it failed as it was told to?
    pub fn has_failed(&self) -> bool {
        self.0.borrow().failure.is_none()
    }

    pub fn lie(&self) {
        self.0.borrow_mut().lies = true;
    }

    pub fn set_unreadable(&self, block: u64, unreadable: bool) {
        let set = &mut self.0.borrow_mut().unreadable;
        if unreadable {
            set.insert(block)
        } else {
            set.remove(&block)
        };
    }

    pub fn flip(&self, read: usize, bit: usize) {
        self.0.borrow_mut().flip = Some((read, bit));
    }

    /// Writes since the last flush.
    pub fn unflushed(&self) -> usize {
        self.0.borrow().cache.len()
    }

    /// The card with power again, with what survived.
    pub fn after_cut(&self, survivors: Survivors) -> Self {
        let state = self.0.borrow();
        let mut durable = state.durable.clone();
        for (index, (block, bytes)) in state.cache.iter().enumerate() {
            let before = durable.get(block).copied().unwrap_or([0; BLOCK_LEN]);
            match survivors.keeps(index) {
                None => {}
                Some(true) => drop(durable.insert(*block, *bytes)),
                Some(false) => {
                    let at = (mix(index as u64 ^ *block) % BLOCK_LEN as u64) as usize;
                    let mut torn = before;
                    torn[..at].copy_from_slice(&bytes[..at]);
                    durable.insert(*block, torn);
                }
            }
        }
        let state = State {
            durable,
            cache: Vec::new(),
            power: None,
            failure: None,
            counts: Counts::default(),
            ..state.clone()
        };
        Self(Rc::new(RefCell::new(state)))
    }

    /// The same card after a reset of the system: it had power all the time.
    pub fn after_reset(&self) -> Self {
        let card = self.duplicate();
        card.0.borrow_mut().power = None;
        card
    }

    /// What has been done since the last time.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.0.borrow_mut().counts)
    }

    /// A block as it would be read.
    pub fn peek(&self, block: u64) -> Bytes {
        self.0.borrow().get(block)
    }

    /// Changes a block behind everybody's back.
    pub fn poke(&self, block: u64, change: impl FnOnce(&mut Bytes)) {
        let mut state = self.0.borrow_mut();
        let mut bytes = state.get(block);
        change(&mut bytes);
        state.cache.retain(|(written, _)| *written != block);
        state.durable.insert(block, bytes);
    }
}

impl State {
    fn get(&self, block: u64) -> Bytes {
        let cached = self
            .cache
            .iter()
            .rev()
            .find(|(written, _)| *written == block);
        cached
            .map(|(_, bytes)| *bytes)
            .or_else(|| self.durable.get(&block).copied())
            .or_else(|| self.background.as_ref()?(block))
            .unwrap_or([0; BLOCK_LEN])
    }

    /// Is the next step done? And does it seem so?
    fn spend(&mut self) -> (bool, Result<(), Fault>) {
        match &mut self.power {
            Some(0) => return (false, Err(Fault::PowerLost)),
            Some(power) => *power -= 1,
            None => {}
        }
        match &mut self.failure {
            Some((0, written)) => {
                let written = *written;
                self.failure = None;
                return (written, Err(Fault::Failed));
            }
            Some((steps, _)) => *steps -= 1,
            None => {}
        }
        (true, Ok(()))
    }

    fn check(&self, first: u64, blocks: usize) -> Result<(), Fault> {
        if self.power == Some(0) {
            return Err(Fault::PowerLost);
        }
        let end = first.checked_add(blocks as u64).ok_or(Fault::OutOfRange)?;
        if end > self.count {
            Err(Fault::OutOfRange)
        } else {
            Ok(())
        }
    }
}

impl PolledDevice for Card {
    type Error = Fault;

    fn block_count(&self) -> u64 {
        self.0.borrow().count
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Fault> {
        let mut state = self.0.borrow_mut();
        state.check(first, blocks.len())?;
        state.counts.read_commands += 1;
        for (address, block) in (first..).zip(blocks) {
            state.counts.read += 1;
            if state.unreadable.contains(&address) {
                return Err(Fault::Unreadable);
            }
            let mut bytes = state.get(address);
            match &mut state.flip {
                Some((0, bit)) => {
                    bytes[*bit / 8] ^= 1 << (*bit % 8);
                    state.flip = None;
                }
                Some((reads, _)) => *reads -= 1,
                None => {}
            }
            block.copy_from(0, &bytes);
        }
        Ok(())
    }

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Fault> {
        let mut state = self.0.borrow_mut();
        state.check(first, blocks.len())?;
        for (address, block) in (first..).zip(blocks) {
            let (done, result) = state.spend();
            if done {
                state.counts.written += 1;
                let mut bytes = [0; BLOCK_LEN];
                block.copy_to(0, &mut bytes);
                state.cache.push((address, bytes));
            }
            result?;
        }
        Ok(())
    }

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Fault> {
        PolledDevice::write(self, block, core::slice::from_ref(data))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut state = self.0.borrow_mut();
        let (done, result) = state.spend();
        if done {
            state.counts.flushes += 1;
            if !state.lies {
                let cache = std::mem::take(&mut state.cache);
                state.durable.extend(cache);
            }
        }
        result
    }
}

impl BlockDevice for Card {
    type Error = Fault;

    fn block_count(&self) -> u64 {
        PolledDevice::block_count(self)
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), Fault> {
        PolledDevice::read(self, first, blocks)
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), Fault> {
        PolledDevice::write(self, first, blocks)
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), Fault> {
        PolledDevice::write_reliable(self, block, data)
    }

    async fn flush(&mut self) -> Result<(), Fault> {
        PolledDevice::flush(self)
    }
}
