//! What a failing kernel can still say about the system, without trusting it.
//!
//! The kernel may have failed anywhere, in the middle of a change of its tables too. What is read here is read as it is,
//! once, and an address is used only if the constant tables in flash say that memory is there.

use crate::arch::{self, CURRENT_TASK_PTR};
use crate::descs::{HUBRIS_TASK_DESCS, HUBRIS_TASK_TABLE_SPACE, RegionAttributes};
use crate::task::Task;
use abi::TaskState;
use core::sync::atomic::{AtomicBool, Ordering};
use kerncore::slice::covered;

/// Set when the task table is initialised.
static TASKS_ARE_THERE: AtomicBool = AtomicBool::new(false);

/// The task table is initialised from now on.
pub(crate) fn tasks_are_there() {
    TASKS_ARE_THERE.store(true, Ordering::Relaxed);
}

/// One task, as it is found.
#[derive(Copy, Clone, Debug)]
pub struct TaskSnapshot {
    /// What it is doing.
    pub state: TaskState,
    /// Is it the one that runs?
    pub current: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// Notifications posted and not yet received.
    pub notifications: u32,
    /// Its priority.
    pub priority: u8,
    /// Its program counter and its stack pointer, if its stack can be read.
    pub place: Option<(u32, u32)>,
}

/// All tasks by index; none if the kernel failed before there were any.
pub fn tasks() -> impl Iterator<Item = TaskSnapshot> {
    let table = (&raw const HUBRIS_TASK_TABLE_SPACE).cast::<Task>();
    let current = CURRENT_TASK_PTR.load(Ordering::Relaxed).cast_const();
    let count = if TASKS_ARE_THERE.load(Ordering::Relaxed) {
        HUBRIS_TASK_DESCS.len()
    } else {
        0
    };
    HUBRIS_TASK_DESCS
        .iter()
        .enumerate()
        .take(count)
        .map(move |(index, descriptor)| {
            // SAFETY: the table has an element for each descriptor, all of them initialised. The kernel has stopped for
            // good, so nothing changes them meanwhile; volatile reads of single fields make no reference to what the
            // failed code may still hold one to.
            let (state, restarts, notifications, psp, lost) = unsafe {
                let task = table.add(index);
                (
                    (&raw const (*task).state).read_volatile(),
                    (&raw const (*task).generation).read_volatile(),
                    (&raw const (*task).notifications).read_volatile(),
                    (&raw const (*task).save.psp).read_volatile(),
                    (&raw const (*task).arch.lost_stack_pointer).read_volatile(),
                )
            };
            let regions = descriptor.regions;
            let readable = psp.is_multiple_of(4)
                && psp
                    .checked_add(arch::FRAME_BYTES)
                    .is_some_and(|end| covered(regions, psp, end, is_readable));
            TaskSnapshot {
                state,
                current: core::ptr::eq(current, table.wrapping_add(index)),
                restarts,
                notifications,
                priority: descriptor.priority,
                place: readable.then(|| arch::place(psp, lost)),
            }
        })
}

fn is_readable(region: &crate::descs::RegionDesc) -> bool {
    region.attributes.contains(RegionAttributes::READ)
        && !region.attributes.contains(RegionAttributes::DEVICE)
}

/// A stack from its stack pointer on, as far as it can be read.
#[derive(Copy, Clone, Debug)]
pub struct Stack {
    from: u32,
    end: u32,
}

impl Stack {
    /// The kernel's.
    pub(crate) fn of_kernel(sp: u32) -> Self {
        let (low, high) = arch::memory::kernel_stack();
        Self::within(sp, low, high)
    }

    /// The supervisor's.
    pub(crate) fn of_supervisor(sp: u32) -> Self {
        let [supervisor, ..] = &HUBRIS_TASK_DESCS;
        // The stack is the lowest part of its region; what is above the initial stack pointer is data.
        let region = supervisor
            .regions
            .iter()
            .find(|region| sp.wrapping_sub(region.base) < region.size && is_readable(region));
        match region {
            Some(region) => Self::within(sp, region.base, supervisor.initial_stack),
            None => Self { from: sp, end: sp },
        }
    }

    fn within(sp: u32, low: u32, high: u32) -> Self {
        if sp.is_multiple_of(4) && low <= sp && sp <= high {
            Self {
                from: sp,
                end: high,
            }
        } else {
            Self { from: sp, end: sp }
        }
    }

    /// How many bytes there are; 0 if the stack pointer points elsewhere.
    pub fn bytes(&self) -> u32 {
        self.end.wrapping_sub(self.from)
    }

    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<> {
        (self.from..self.end).step_by(4).map(|address| {
            // SAFETY: between the bounds of a stack, which is aligned memory that is mapped for the kernel. Volatile,
            // as it is the memory of code that is not running any more.
            unsafe { (address as *const u32).read_volatile() }
        })
    }
}
