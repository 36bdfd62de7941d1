//! A simulated card with faults on demand, all of them reproducible.
//!
//! It caches, reorders and tears writes, ignores flushes, loses power and fails.

use block_device::{BLOCK_LEN, Block, BlockDevice, PolledDevice};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub type Bytes = [u8; BLOCK_LEN];

/// Why the card failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFailure {
    /// It has no power.
    PowerLost,
    /// This block cannot be read.
    Unreadable,
    /// A write or a flush failed, once.
    Failed,
    /// There is no such block.
    OutOfRange,
}

/// Which of the writes since the last flush are on the card after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// None.
    None,
    /// All.
    All,
    /// This number of writes, the first ones.
    Prefix(usize),
    /// Only this one.
    Only(usize),
    /// All but this one.
    AllBut(usize),
    /// Those before this one, and a part of this one.
    Torn(usize),
    /// All others, and a part of this one.
    TornAmongAll(usize),
    /// A selection by this seed, some of them in part.
    Random(u64),
    /// Those whose bits are set, of 32 or fewer, and one of them in part.
    Selected { mask: u32, torn: Option<usize> },
}

impl Survivors {
    /// All selections of `count` writes that are tested exhaustively.
    pub fn each(count: usize) -> Vec<Self> {
        let mut each = vec![Self::None, Self::All];
        for write in 0..count {
            each.extend([Self::Prefix(write), Self::Only(write), Self::AllBut(write)]);
            each.extend([Self::Torn(write), Self::TornAmongAll(write)]);
        }
        each
    }

    /// Whether write `index` is there: `None` if not, `false` if in part, `true` if whole.
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
            Self::Selected { mask, torn } => {
                whole(mask >> index & 1 != 0).map(|kept| kept && torn != Some(index))
            }
            Self::Random(seed) => match mix(seed ^ mix(index as u64)) % 8 {
                0..3 => None,
                3 => Some(false),
                _ => Some(true),
            },
        }
    }
}

/// A pseudo-random number (SplitMix64).
pub fn mix(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

/// The contents of blocks that were never written.
type Background = Rc<dyn Fn(u64) -> Option<Bytes>>;

#[derive(Clone)]
struct State {
    count: u64,
    durable: BTreeMap<u64, Bytes>,
    /// Written since the last flush, in order.
    cache: Vec<(u64, Bytes)>,
    background: Option<Background>,
    /// Number of block writes and flushes until the power is lost.
    power: Option<usize>,
    /// Number of block writes and flushes until one fails; whether that block is written
    /// nevertheless.
    failure: Option<(usize, bool)>,
    /// Whether flushes have no effect.
    ignores_flushes: bool,
    unreadable: BTreeSet<u64>,
    /// Number of block reads until one gets a flipped bit; which bit.
    flip: Option<(usize, usize)>,
    counts: Counts,
}

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks read.
    pub read: usize,
    /// Read commands.
    pub read_commands: usize,
    /// Blocks written.
    pub written: usize,
    /// Flushes.
    pub flushes: usize,
}

/// The card. A clone is a handle to the same card.
#[derive(Clone)]
pub struct TestCard(Rc<RefCell<State>>);

impl TestCard {
    pub fn new(count: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            count,
            durable: BTreeMap::new(),
            cache: Vec::new(),
            background: None,
            power: None,
            failure: None,
            ignores_flushes: false,
            unreadable: BTreeSet::new(),
            flip: None,
            counts: Counts::default(),
        })))
    }

    /// Another card with the same contents.
    pub fn duplicate(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    pub fn set_background(&self, background: impl Fn(u64) -> Option<Bytes> + 'static) {
        self.0.borrow_mut().background = Some(Rc::new(background));
    }

    /// Loses power after this number of block writes and flushes.
    pub fn cut_after(&self, steps: usize) {
        self.0.borrow_mut().power = Some(steps);
    }

    /// Fails once, after this number of block writes and flushes. The block is written nevertheless
    /// if `written`.
    pub fn fail_after(&self, steps: usize, written: bool) {
        self.0.borrow_mut().failure = Some((steps, written));
    }

    /// Whether the failure of [`TestCard::fail_after`] has happened.
    pub fn has_failed(&self) -> bool {
        self.0.borrow().failure.is_none()
    }

    pub fn ignore_flushes(&self) {
        self.0.borrow_mut().ignores_flushes = true;
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

    /// Whether the power was lost at the moment of [`TestCard::cut_after`].
    pub fn has_lost_power(&self) -> bool {
        self.0.borrow().power == Some(0)
    }

    /// Number of writes since the last flush.
    pub fn unflushed(&self) -> usize {
        self.0.borrow().cache.len()
    }

    /// The card after a power cut, with power again.
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

    /// The card after a reset of the system: it had power all the time, so its cache is kept.
    pub fn after_reset(&self) -> Self {
        let card = self.duplicate();
        card.0.borrow_mut().power = None;
        card
    }

    /// The operations since the last call.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.0.borrow_mut().counts)
    }

    /// A block as it would be read.
    pub fn peek(&self, block: u64) -> Bytes {
        self.0.borrow().get(block)
    }

    /// Changes a block directly, not by a request.
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

    /// Counts a step. Returns whether it is carried out, and what is reported.
    fn spend(&mut self) -> (bool, Result<(), CardFailure>) {
        match &mut self.power {
            Some(0) => return (false, Err(CardFailure::PowerLost)),
            Some(power) => *power -= 1,
            None => {}
        }
        match &mut self.failure {
            Some((0, written)) => {
                let written = *written;
                self.failure = None;
                return (written, Err(CardFailure::Failed));
            }
            Some((steps, _)) => *steps -= 1,
            None => {}
        }
        (true, Ok(()))
    }

    fn check(&self, first: u64, blocks: usize) -> Result<(), CardFailure> {
        if self.power == Some(0) {
            return Err(CardFailure::PowerLost);
        }
        let end = first
            .checked_add(blocks as u64)
            .ok_or(CardFailure::OutOfRange)?;
        if end > self.count {
            Err(CardFailure::OutOfRange)
        } else {
            Ok(())
        }
    }
}

impl PolledDevice for TestCard {
    type Error = CardFailure;

    fn block_count(&self) -> u64 {
        self.0.borrow().count
    }

    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), CardFailure> {
        let mut state = self.0.borrow_mut();
        state.check(first, blocks.len())?;
        state.counts.read_commands += 1;
        for (address, block) in (first..).zip(blocks) {
            state.counts.read += 1;
            if state.unreadable.contains(&address) {
                return Err(CardFailure::Unreadable);
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

    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), CardFailure> {
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

    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), CardFailure> {
        PolledDevice::write(self, block, core::slice::from_ref(data))
    }

    fn flush(&mut self) -> Result<(), CardFailure> {
        let mut state = self.0.borrow_mut();
        let (done, result) = state.spend();
        if done {
            state.counts.flushes += 1;
            if !state.ignores_flushes {
                let cache = std::mem::take(&mut state.cache);
                state.durable.extend(cache);
            }
        }
        result
    }
}

impl BlockDevice for TestCard {
    type Error = CardFailure;

    fn block_count(&self) -> u64 {
        PolledDevice::block_count(self)
    }

    async fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), CardFailure> {
        PolledDevice::read(self, first, blocks)
    }

    async fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), CardFailure> {
        PolledDevice::write(self, first, blocks)
    }

    async fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), CardFailure> {
        PolledDevice::write_reliable(self, block, data)
    }

    async fn flush(&mut self) -> Result<(), CardFailure> {
        PolledDevice::flush(self)
    }
}
