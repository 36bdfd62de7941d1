//! Random clients, and what must hold whatever they do.
//!
//! A *case* is one system with its card, from power-on. Its steps ([`steps`]) are data, made from
//! the seed and the number of the case before it begins: so a case can be played again, and without
//! some of its steps ([`shrink`]).
//!
//! Tasks 2 to 5 do what they like: any message, any leases, requests that they are torn out of,
//! with restarts until their id comes back. Tasks 6 and 7 are well-behaved. All are restarted, the
//! recorder fails at any moment, the system is reset, the card fails, is taken out and put back.
//!
//! What must hold (`random/oracle.rs`):
//!
//! * no system call faults the recorder, and it does not panic;
//! * it replies to who waits for a reply of it, with the answer to what that client has asked; what
//!   it writes into a lease is what the operation writes;
//! * between two RECVs it makes few system calls and register accesses;
//! * every record that it has accepted is in the retained region or on the card, once, unchanged
//!   and in order, at every moment, and on the card in the end;
//! * a well-behaved client is not faulted, gets no error that is not its own, and each of its calls
//!   ends;
//! * crashes on the card are whole, and what is read of them is what is there.

mod actor;
mod oracle;
mod slot;
mod steps;

pub use steps::{Action, Case, Step, steps, steps_of};

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::rc::Rc;

use crashlog_retained::{Region, TrialStage};
use drv_sdhci_sim::{Buffer, Crashed, Simulator};
use fault_matrix::setup::Setup;

use crate::clients::{Supervisor, formatted_card};
use crate::kernel::World;
use crate::{normal, panics};
use actor::RandomClients;
use oracle::Oracle;

/// The first well-behaved client.
pub const FIRST_WELL_BEHAVED: usize = 6;

/// Most register accesses between two RECVs. The driver polls for a few things of which the
/// controller gives no interrupt, a reset for instance.
const MOST_ACCESSES: u64 = 1_000;

/// The end of a run of the recorder: thrown in a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thrown {
    /// The case has ended.
    End,
    /// The recorder is restarted.
    Restart,
    /// The system is reset.
    Reset,
}

fn throw(what: Thrown) -> ! {
    resume_unwind(Box::new(what))
}

/// What a case was, for the curious.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    /// Records that were accepted.
    pub records: usize,
    /// Replies.
    pub replies: u32,
    /// Restarts of the recorder.
    pub restarts: u32,
    /// Crashes on the card in the end.
    pub crashes: usize,
}

std::thread_local! {
    /// Pages of the log ring of all cases of this thread.
    static PAGES: Cell<usize> = const { Cell::new(128) };
    /// The retained region of all cases of this thread: what the recorder borrows for ever.
    static MEMORY: &'static Buffer = {
        let buffer = Simulator::new(Setup::BASE.card()).buffer(Region::len_with(PAGES.get()) / 512);
        Box::leak(Box::new(buffer))
    };
    /// The recorder is to fail at one of its register accesses.
    static DYING: Cell<bool> = const { Cell::new(false) };
}

/// Sets how long the log ring of the cases is that this thread plays, as [`Region::len_with`]. To
/// be called before the first of them.
pub fn set_ring_pages(pages: usize) {
    PAGES.set(pages);
}

/// Plays a case.
///
/// # Errors
/// What did not hold.
pub fn play(steps: &[Step]) -> Result<Played, String> {
    DYING.set(false);
    let memory = MEMORY.with(|memory| *memory);
    for block in memory.iter() {
        block.fill(0);
    }
    let sim = Simulator::new(formatted_card());
    sim.reach(memory);
    let region = Region::over(memory).expect("a region is long enough");
    region.begin_boot();
    let played = Rc::new(Cell::new(Played::default()));
    let supervisor = Supervisor::of(region);
    let oracle = Oracle::new(sim.clone(), region, played.clone());
    let clients = RandomClients::new(sim.clone(), supervisor, steps.to_vec(), oracle);
    let world = World::install(sim.clone(), Box::new(clients));
    loop {
        let Some(thrown) = panics::catch(|| normal::run(&region)) else {
            return Err("the recorder has returned".to_owned());
        };
        let ended = what_ended(thrown.as_ref());
        DYING.set(false);
        sim.crash_after(MOST_ACCESSES);
        match ended {
            Some(Thrown::End) => return Ok(played.get()),
            Some(Thrown::Restart) => {
                world.restart_recorder();
                played.set(Played {
                    restarts: played.get().restarts + 1,
                    ..played.get()
                });
            }
            Some(Thrown::Reset) => {
                world.restart_system();
                region.begin_boot();
            }
            None if thrown.is::<Crashed>() => {
                return Err("register accesses without end".to_owned());
            }
            None => return Err(panics::said()),
        }
        // Here the steps end the recorder, not what it has found. Without this it would drop log
        // records in the end, which are to be there.
        if region.trial().stage() != TrialStage::All {
            region.trial().end_start();
        }
    }
}

/// How the run ended; `None` if it should not have.
fn what_ended(thrown: &(dyn Any + Send)) -> Option<Thrown> {
    if thrown.is::<Crashed>() && DYING.get() {
        return Some(Thrown::Restart);
    }
    thrown.downcast_ref().copied()
}

/// The first line of an error: which check has failed.
fn which(error: &str) -> &str {
    error.lines().next().unwrap_or_default()
}

/// Leaves out steps while the same check fails, with this error. Returns those that are left.
#[must_use]
pub fn shrink(steps: &[Step], error: &str) -> Vec<Step> {
    let mut left = steps.to_vec();
    let mut piece = left.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < left.len() {
            let mut without = left.clone();
            without.drain(at..(at + piece).min(left.len()));
            if play(&without).is_err_and(|other| which(&other) == which(error)) {
                left = without;
                shorter = true;
            } else {
                at += piece;
            }
        }
        if piece > 1 {
            piece = piece.div_ceil(2);
        } else if !shorter {
            piece = 0;
        }
    }
    left
}
