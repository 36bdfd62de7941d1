//! From `kernel_main` to the first task.
//!
//! The processor-dependent entry (`arch::arm_a::boot`) has parked a second processor, cleared
//! `.bss`, copied `.data` and set up stacks; the MMU is still off. From here on, in this order:
//! task table, checks, translation tables, interrupts, time, first task.
//!
//! A warm reset must behave as a cold start, so nothing here depends on what RAM holds.

use crate::descs::{HUBRIS_TASK_COUNT, HUBRIS_TASK_DESCS, HUBRIS_TASK_TABLE_SPACE};
use crate::platform::{self, Platform};
use crate::table::{self, Kernel, TaskHandle};
use crate::task::Task;
use crate::time::CLOCK_FREQ_KHZ;
use crate::{arch, fail, last_ran};
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use kerncore::arm_a::tables::PAGE;
use kerncore::region;

/// Starts the system; does not return.
///
/// `tick_divisor` is the number of timer counts in one tick, a millisecond.
///
/// # Safety
///
/// Called once, from the application's `kernel_main`, with a `platform` that describes the chip.
pub unsafe fn start_kernel(tick_divisor: u32, platform: &'static Platform) -> ! {
    platform::set(platform);
    CLOCK_FREQ_KHZ.store(tick_divisor, Ordering::Relaxed);

    let table = &raw mut HUBRIS_TASK_TABLE_SPACE;
    // SAFETY: nothing else refers to the table yet.
    init_task_table(unsafe { &mut *table });
    fail::snapshot::set_tasks_initialised();

    // SAFETY: the table is initialised, and this is the only code that runs.
    let mut kernel = unsafe { Kernel::enter() };
    for task in TaskHandle::all() {
        check(&kernel[task]);
    }
    arch::memory::enable(&mut kernel, platform);
    check_stacks(&kernel);
    for task in TaskHandle::all() {
        arch::reinitialize(&mut kernel[task], 0);
        if kernel[task].starts_at_boot() {
            kernel.wake(task);
        }
    }
    last_ran::begin((platform.last_ran)());
    arch::gic::init(platform);
    arch::timer::init(platform, tick_divisor);

    let first = kernel.pick_first();
    // SAFETY: the task is runnable, and translation, interrupts and timer are set up. `kernel` is
    // not used any more.
    unsafe { arch::start_first_task(first.entry()) }
}

/// The frequency of the processor's timer, Hz, as the loader has noted it (CNTFRQ); 0 if it has
/// not. For an application that has no better source for the divisor of [`start_kernel`].
#[must_use]
pub fn noted_timer_frequency() -> u32 {
    arch::timer::noted_frequency()
}

fn init_task_table(table: &mut [MaybeUninit<Task>; HUBRIS_TASK_COUNT]) {
    for (entry, descriptor) in table.iter_mut().zip(&HUBRIS_TASK_DESCS) {
        entry.write(Task::new(descriptor, table::member(descriptor.index)));
    }
}

/// Checks that no two stack regions overlap: `umem::copy_between_stacks` relies on it.
fn check_stacks(kernel: &Kernel) {
    for task in TaskHandle::all() {
        for other in TaskHandle::all().filter(|&other| other != task) {
            if kernel[task].arch.shares_stack(&kernel[other].arch) {
                fail::die(format_args!(
                    "tasks {} and {} have a stack in common",
                    kernel[task].descriptor.index, kernel[other].descriptor.index
                ));
            }
        }
    }
}

/// Checks one task's memory map against the rules of protection. The build did so too; this checks
/// the tables that are in the image.
fn check(task: &Task) {
    let descriptor = task.descriptor;
    let map = descriptor.regions.iter().copied();
    let verdict = region::check(
        map.clone(),
        PAGE,
        descriptor.entry_point,
        descriptor.initial_stack,
    );
    if let Err(rule) = verdict {
        fail::die(format_args!(
            "memory map of task {}: {rule:?}",
            descriptor.index
        ));
    }
    for region in map {
        if arch::memory::is_kernel(region.base, region.size) {
            fail::die(format_args!(
                "task {} is granted kernel memory",
                descriptor.index
            ));
        }
    }
}
