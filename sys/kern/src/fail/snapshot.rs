//! The state of the tasks and a stack, read by a kernel that has failed.
//!
//! The kernel may have failed in the middle of a change of its tables, so no invariant holds.
//! Fields are read once, as they are, and an address is dereferenced only if the constant tables in
//! flash say that readable memory is there.

use crate::arch::{self, CURRENT_TASK_PTR};
use crate::descs::{HUBRIS_TASK_DESCS, HUBRIS_TASK_TABLE_SPACE, RegionAttributes};
use crate::task::Task;
use abi::TaskState;
use core::sync::atomic::{AtomicBool, Ordering};
use kerncore::slice::covered;

/// Set when the task table is initialised.
static TASKS_INITIALISED: AtomicBool = AtomicBool::new(false);

/// Says that the task table is initialised.
pub(crate) fn set_tasks_initialised() {
    TASKS_INITIALISED.store(true, Ordering::Relaxed);
}

/// One task, as the kernel finds it.
#[derive(Copy, Clone, Debug)]
pub struct TaskSnapshot {
    /// Its state.
    pub state: TaskState,
    /// Is it the running one?
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
    let count = if TASKS_INITIALISED.load(Ordering::Relaxed) {
        HUBRIS_TASK_DESCS.len()
    } else {
        0
    };
    HUBRIS_TASK_DESCS
        .iter()
        .enumerate()
        .take(count)
        .map(move |(index, descriptor)| {
            // SAFETY: the table has an element for each descriptor, all of them initialised. The
            // kernel has stopped for good, so nothing changes them meanwhile. Volatile reads of
            // single fields make no reference to what the failed code may still hold a `&mut` to.
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

/// A stack from its stack pointer to its top. Holding one means that this range is aligned memory
/// that the kernel can read; it may be empty.
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
        // The stack is the lowest part of its region; what is above the initial stack pointer is
        // data.
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

    /// How many bytes it has; 0 if the stack pointer does not point into it.
    pub fn bytes(&self) -> u32 {
        self.end.wrapping_sub(self.from)
    }

    /// Its words, by ascending addresses.
    pub fn words(&self) -> impl Iterator<Item = u32> + use<> {
        (self.from..self.end).step_by(4).map(|address| {
            // SAFETY: between the bounds of a stack, which is aligned memory that is mapped for the
            // kernel. Volatile, as it is the memory of code that is not running any more.
            unsafe { (address as *const u32).read_volatile() }
        })
    }
}
