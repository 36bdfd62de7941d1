//! The steps of a case, made from its seed.

use drv_sdhci_sim::{FaultPlan, InjectedFault};
use userlib::LeaseAttributes;

use super::FIRST_WELL_BEHAVED;
use crate::NUM_TASKS;
use crate::clients::{FIRST_CLIENT, UNTOUCHED, append, capacity, lent, op, request, to_write};
use crate::kernel::{LentMemory, Request};
use test_random::Random;

/// A case: its steps follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The seed of the whole run.
    pub seed: u64,
    /// Number of the case.
    pub number: u64,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// A client sends, if it waits for nothing. If it is faulted it is restarted first.
    Send(usize, Request),
    /// A client is restarted so many times.
    Restart(usize, u32),
    /// The same in the middle of the recorder's work, after so many system calls of it.
    RestartAtCall(usize, u32, u32),
    /// A client is faulted.
    Fault(usize),
    /// Anybody posts notifications to the recorder.
    Post(u32),
    /// A client has an oops at this address.
    Oops(usize, u32),
    /// So many microseconds pass.
    Pass(u64),
    /// Until the recorder has called RECV so many times nothing happens, and the time passes while
    /// it waits.
    Work(u32),
    /// The card is taken out.
    TakeOut,
    /// The card is put in.
    PutIn,
    /// A card without a log is put in.
    PutInOther,
    /// A command of the card fails.
    CardFault(FaultPlan),
    /// The card works again.
    CardWorks,
    /// The recorder is restarted.
    RestartRecorder,
    /// The same after so many system calls.
    RestartRecorderAtCall(u32),
    /// The same at a register access.
    RestartRecorderAtAccess(u64),
    /// The system is reset.
    Reset,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// The next step happens before the recorder goes on.
    pub at_once: bool,
}

/// How often each kind of action comes, in parts of the sum.
struct Weights {
    sends: usize,
    restarts: usize,
    time: usize,
    card: usize,
    oopses: usize,
    /// The recorder's restarts, and resets of the system.
    recorder: usize,
    /// Of so many requests one is any bytes; the others have the form of an operation.
    odd: usize,
    /// Of so many requests one is not `append`.
    other: usize,
    /// There is a card at first.
    has_card: bool,
}

const MIXED: Weights = Weights {
    sends: 500,
    restarts: 150,
    time: 300,
    card: 10,
    oopses: 20,
    recorder: 4,
    odd: 3,
    other: 2,
    has_card: true,
};

/// The kinds of cases, in turn.
const KINDS: [Weights; 7] = [
    MIXED,
    // A flood of records.
    Weights {
        sends: 1_500,
        odd: 20,
        other: 20,
        ..MIXED
    },
    // The same without a card: the ring fills.
    Weights {
        sends: 3_000,
        card: 0,
        odd: 20,
        other: 20,
        has_card: false,
        ..MIXED
    },
    // Readers, with a card that works.
    Weights {
        card: 0,
        oopses: 40,
        odd: 10,
        other: 1,
        ..MIXED
    },
    // A card that fails.
    Weights { card: 60, ..MIXED },
    // A recorder that fails.
    Weights {
        recorder: 20,
        ..MIXED
    },
    // Clients that are restarted.
    Weights {
        restarts: 400,
        other: 1,
        ..MIXED
    },
];

/// The steps of a case.
#[must_use]
pub fn steps(case: Case, count: usize) -> Vec<Step> {
    let mut random = Random::new(case.seed ^ case.number.wrapping_mul(0xA076_1D64_78BD_642F));
    let weights = &KINDS[(case.number % KINDS.len() as u64) as usize];
    (0..count)
        .map(|index| Step {
            action: match index {
                0 if !weights.has_card => Action::TakeOut,
                _ => action(&mut random, weights),
            },
            at_once: random.one_in(4),
        })
        .collect()
}

/// The steps of an input: each four bytes are one, and follow from nothing else. The first byte is
/// the kind of case, as for [`steps`], and whether the next step happens at once.
#[must_use]
pub fn steps_of(input: &[u8]) -> Vec<Step> {
    let (words, _) = input.as_chunks::<4>();
    words
        .iter()
        .map(|[kind, seed @ ..]| {
            let [a, b, c] = *seed;
            let mut random = Random::new(u64::from(u32::from_le_bytes([a, b, c, 0])));
            Step {
                action: action(&mut random, &KINDS[usize::from(kind >> 1) % KINDS.len()]),
                at_once: kind & 1 != 0,
            }
        })
        .collect()
}

fn action(random: &mut Random, weights: &Weights) -> Action {
    let task = FIRST_CLIENT + random.below(NUM_TASKS - FIRST_CLIENT);
    let hostile = FIRST_CLIENT + random.below(FIRST_WELL_BEHAVED - FIRST_CLIENT);
    let Weights {
        sends,
        restarts,
        time,
        card,
        oopses,
        recorder,
        ..
    } = *weights;
    let mut choice = random.below(sends + restarts + time + card + oopses + recorder);
    let mut is = |weight: usize| match choice.checked_sub(weight) {
        Some(rest) => {
            choice = rest;
            false
        }
        None => {
            choice = usize::MAX;
            true
        }
    };
    if is(sends) {
        let request = if task >= FIRST_WELL_BEHAVED || !random.one_in(weights.odd) {
            proper(random, task, weights)
        } else {
            odd(random)
        };
        return Action::Send(task, request);
    }
    if is(restarts) {
        let times = random.of(&[1, 1, 2, 63, 64, 64, 64, 65, 128]);
        return match random.below(8) {
            0 => Action::Fault(hostile),
            1 => Action::Post(random.word()),
            2 => Action::Post(1 << random.below(4)),
            3..=5 => Action::RestartAtCall(hostile, times, random.below(8) as u32),
            _ => Action::Restart(hostile, times),
        };
    }
    if is(time) {
        return match random.below(8) {
            0 => Action::Pass(random.of(&[1, 50, 1_000, 30_000, 200_000])),
            _ => Action::Work(random.of(&[1, 2, 5, 10, 20, 50, 200])),
        };
    }
    if is(card) {
        return card_action(random);
    }
    if is(oopses) {
        return Action::Oops(task, random.below(4) as u32);
    }
    match random.below(8) {
        0 | 1 => Action::Reset,
        2 => Action::RestartRecorder,
        3 | 4 => Action::RestartRecorderAtCall(random.below(12) as u32),
        _ => Action::RestartRecorderAtAccess(random.below(120) as u64),
    }
}

fn card_action(random: &mut Random) -> Action {
    match random.below(10) {
        0 => Action::TakeOut,
        1 | 2 => Action::PutIn,
        3 if random.one_in(4) => Action::PutInOther,
        4 | 5 => Action::CardWorks,
        _ => {
            let block = random.below(3) as u16;
            let fault = random.of(&[
                InjectedFault::Ignored,
                InjectedFault::NoResponse,
                InjectedFault::ResponseLost,
                InjectedFault::ResponseCrc,
                InjectedFault::ResponseIndex,
                InjectedFault::Refused(1 << 31),
                InjectedFault::Refused(1 << 19),
                InjectedFault::DataCrc(block),
                InjectedFault::DataEndBit(block),
                InjectedFault::DataTimeout(block),
                InjectedFault::DataStall(block),
                InjectedFault::Adma(block),
                InjectedFault::AutoCommand,
                InjectedFault::NotProgrammed,
                InjectedFault::Busy(5_000),
                InjectedFault::Forgets,
                InjectedFault::HangsCommand,
                InjectedFault::HangsData,
            ]);
            Action::CardFault(FaultPlan {
                command: random.of(&[None, None, Some(13), Some(17), Some(18), Some(24), Some(25)]),
                after: random.below(6) as u32,
                times: random.of(&[1, 1, 1, 2, 5, u32::MAX]),
                fault,
            })
        }
    }
}

/// A request that has the form of its operation.
fn proper(random: &mut Random, task: usize, weights: &Weights) -> Request {
    if !random.one_in(weights.other) {
        let length = match random.below(4) {
            0 => random.of(&[0, 1, 3, 4, 255, 256]),
            1 => random.below(257),
            _ => random.below(48),
        };
        let mut request = append(bytes(random, length));
        request.message = vec![random.below(4) as u8, random.below(5) as u8, 0, 0];
        if random.one_in(8) {
            request.message[2..].copy_from_slice(&(random.word() as u16).to_le_bytes());
        }
        return request;
    }
    let page = random.of(&[0, 1, 2, 5, 10, 40, 1_000, u32::MAX]);
    let small = random.below(6) as u32;
    match random.below(13) {
        0..=2 => request(op::FLUSH, &[], vec![]),
        3 => request(op::STATUS, &[], vec![]),
        4 | 5 => request(op::CRASH_INFO, &[small], vec![]),
        6 | 7 => {
            let segment = random.below(6) as u32;
            let offset = random.of(&[0, 0, 0, 4, 17, 511, 512, 4_096, u32::MAX]);
            let lease = to_write(random.of(&[512, 512, 0, 1, 100, 511]));
            request(op::READ_CRASH, &[small, segment, offset], vec![lease])
        }
        // A well-behaved client does not erase what the others read.
        8 if task < FIRST_WELL_BEHAVED => request(op::ERASE_CRASH, &[small], vec![]),
        10 => request(op::BOOT_END, &[small], vec![]),
        9 => {
            let seconds = random.of(&[0, 1, 0x1a2, 0xe677, 0xe678, u32::MAX]);
            request(op::SET_TIME, &[random.word(), seconds], vec![])
        }
        _ => request(op::READ_PAGE, &[page], vec![to_write(512)]),
    }
}

/// A request of any form: nearly one of an operation, or nothing like it.
fn odd(random: &mut Random) -> Request {
    let mut odd = proper(random, FIRST_CLIENT, &MIXED);
    if random.one_in(4) {
        odd.operation = match random.below(3) {
            0 => random.word() as u16,
            1 => random.of(&[0, 11, 12, 0x8000, 0xFFFF]),
            _ => 1 + random.below(10) as u16,
        };
        odd.capacity = capacity(odd.operation);
    }
    for _ in 0..=random.below(2) {
        match random.below(4) {
            0 => {
                let length = random.of(&[0, 1, 3, 4, 5, 11, 12, 13, 64, 700]);
                odd.message = bytes(random, length);
            }
            1 => odd.capacity = random.of(&[0, 1, 3, 4, 5, 16, 100, usize::MAX]),
            2 => {
                let count = random.of(&[0, 1, 1, 1, 2, 3, 255]);
                odd.leases = (0..count).map(|_| lease(random)).collect();
            }
            _ => {
                for byte in &mut odd.message {
                    if random.one_in(3) {
                        *byte = random.wide() as u8;
                    }
                }
            }
        }
    }
    odd
}

fn lease(random: &mut Random) -> LentMemory {
    let attributes = LeaseAttributes::from_bits_retain(match random.below(3) {
        0 => random.word(),
        _ => random.word() & 3,
    });
    let length = match random.below(3) {
        0 => random.below(600),
        _ => random.of(&[0, 1, 4, 255, 256, 257, 511, 512, 513]),
    };
    let bytes = if attributes.contains(LeaseAttributes::WRITE) {
        vec![UNTOUCHED; length]
    } else {
        bytes(random, length)
    };
    let mut lease = lent(attributes, bytes);
    // The client lends what is not its own.
    if random.one_in(4) {
        lease.beyond = random.of(&[1, 10, 256 - length.min(256), 512 - length.min(512), 1 << 30]);
    }
    lease
}

fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.word() as u8).collect()
}
