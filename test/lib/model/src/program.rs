//! The programs of a seed.

use crate::{BUFFER, NO_SUCH_TASK, OPS, WORKERS, is_masked};
use test_random::Random;

/// What is wrong with a slice.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Bad {
    /// Nothing.
    No,
    /// It wraps, or is not aligned.
    Malformed,
    /// It is memory of another program.
    Foreign,
}

/// The task that an operation names.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// The sender of the last message received; without one the operation is left out.
    Last,
    /// This index, in its present generation. (Not called `Task`: Humility searches all programs
    /// for the kernel's structure of that name, and a variant of an enum counts as a structure.)
    Now(u8),
    /// This index, one generation ago.
    Past(u8),
}

/// One operation of a worker.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Op {
    /// What it does.
    pub kind: Kind,
    /// The other task.
    pub who: Who,
    /// Length of what is sent, or of the receiver's buffer.
    pub len: u8,
    /// Length of the reply buffer; offset into a lease.
    pub other: u8,
    /// Bits, code, lease index, lease count: see [`Kind`].
    pub value: u8,
    /// What is wrong with the message or the buffer.
    pub bad: Bad,
    /// What is wrong with the reply buffer, or with the lease table.
    pub bad_other: Bad,
}

/// What an operation does. The meaning of its `value` is in brackets.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs)]
pub enum Kind {
    Nop,
    /// (Leases: 0 to 2; 3: two, the second of foreign memory.)
    Send,
    /// (Notification mask.)
    Recv,
    /// (Notification mask.)
    RecvFrom,
    /// (Code.)
    Reply,
    /// (Reason, or one more than the last.)
    ReplyFault,
    /// (Bits.)
    Post,
    /// Deadline 0: posts at once. (Bits.)
    TimerPast,
    /// Never fires. (Bits.)
    TimerNever,
    GetTimer,
    /// (Lease index.)
    BorrowRead,
    /// (Lease index.)
    BorrowWrite,
    /// (Lease index.)
    BorrowInfo,
    Refresh,
    /// (Start it?)
    Restart,
    Fault,
    Status,
    FindFaulted,
    Panic,
    BadCall,
}

/// The program of worker `worker` (0 to 3), without the operations in `mask`.
pub fn program(seed: u64, worker: usize, mask: u64) -> [Op; OPS] {
    let mut random = Random::new(
        seed.wrapping_mul(WORKERS as u64)
            .wrapping_add(worker as u64),
    );
    // Half of the workers are mostly servers, the others mostly clients. Otherwise they would soon
    // wait for each other.
    let server = random.below(2) == 0;
    let mut holding = false;
    core::array::from_fn(|at| {
        let kind = kind(&mut random, server, holding);
        holding = match kind {
            Kind::Recv | Kind::RecvFrom => true,
            Kind::Reply | Kind::ReplyFault => false,
            _ => holding,
        };
        let op = operation(&mut random, kind);
        if is_masked(mask, worker, at) {
            Op {
                kind: Kind::Nop,
                ..op
            }
        } else {
            op
        }
    })
}

/// The next operation of a client, or of a server that has a message or has none.
fn kind(random: &mut Random, server: bool, holding: bool) -> Kind {
    match (server, holding, random.below(100)) {
        (true, false, 0..62) => Kind::Recv,
        (true, false, 62..72) => Kind::RecvFrom,
        (true, true, 0..36) => Kind::Reply,
        (true, true, 36..41) => Kind::ReplyFault,
        (true, true, 41..60) => Kind::BorrowRead,
        (true, true, 60..74) => Kind::BorrowWrite,
        (true, true, 74..82) => Kind::BorrowInfo,
        (false, _, 0..55) => Kind::Send,
        (false, _, 55..61) => Kind::Recv,
        _ => match random.below(100) {
            0..24 => Kind::Post,
            24..32 => Kind::TimerPast,
            32..35 => Kind::TimerNever,
            35..39 => Kind::GetTimer,
            39..44 => Kind::Refresh,
            44..62 => Kind::Restart,
            62..68 => Kind::Fault,
            68..82 => Kind::Status,
            82..87 => Kind::FindFaulted,
            87..91 => Kind::Send,
            91..94 => Kind::Recv,
            94..96 => Kind::Reply,
            96..98 => Kind::BorrowRead,
            98..99 => Kind::Panic,
            _ => Kind::BadCall,
        },
    }
}

fn operation(random: &mut Random, kind: Kind) -> Op {
    let worker = random.below(WORKERS) as u8 + 1;
    let answers = matches!(
        kind,
        Kind::Reply | Kind::ReplyFault | Kind::BorrowRead | Kind::BorrowWrite | Kind::BorrowInfo
    );
    let who = if random.one_in(80) {
        Who::Now(NO_SUCH_TASK)
    } else if random.one_in(20) {
        Who::Past(worker)
    } else if answers && !random.one_in(14) {
        Who::Last
    } else {
        Who::Now(worker)
    };
    let len = random.below(BUFFER + 1) as u8;
    let other = random.below(BUFFER + 1) as u8;
    let value = match kind {
        Kind::Send if random.one_in(3) => random.below(2),
        Kind::Send => 2 + usize::from(random.one_in(8)),
        Kind::Recv | Kind::RecvFrom => random.below(8),
        Kind::Reply if random.one_in(2) => 0,
        Kind::Reply => random.below(200),
        Kind::ReplyFault => random.below(7),
        Kind::BorrowRead | Kind::BorrowWrite | Kind::BorrowInfo if random.one_in(8) => 2,
        Kind::BorrowWrite if !random.one_in(5) => 1,
        Kind::BorrowRead | Kind::BorrowWrite | Kind::BorrowInfo => random.below(2),
        Kind::Restart => usize::from(!random.one_in(4)),
        _ => random.below(16),
    } as u8;
    // Most replies fit into the caller's buffer, and most offsets are within the lease.
    let len = if kind == Kind::Reply { len / 3 } else { len };
    let other = match kind {
        Kind::BorrowRead | Kind::BorrowWrite if random.one_in(12) => 30,
        Kind::BorrowRead | Kind::BorrowWrite => other,
        _ if random.one_in(4) => other,
        _ => BUFFER as u8,
    };
    let mut bad = || match random.below(70) {
        0 => Bad::Malformed,
        1 => Bad::Foreign,
        _ => Bad::No,
    };
    Op {
        kind,
        who,
        len,
        other,
        value,
        bad: bad(),
        bad_other: bad(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_takes_out_one_operation_and_leaves_the_others() {
        let whole = program(1, 2, 0);
        let cut = program(1, 2, 1 << (2 * OPS + 3));
        for at in 0..OPS {
            if at == 3 {
                assert_eq!(cut[at].kind, Kind::Nop);
            } else {
                assert_eq!(cut[at], whole[at]);
            }
        }
    }

    #[test]
    fn seeds_and_workers_differ() {
        assert_ne!(program(1, 0, 0), program(2, 0, 0));
        assert_ne!(program(1, 0, 0), program(1, 1, 0));
    }
}
