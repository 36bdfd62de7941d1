//! Who ran last, in memory that is kept over a reset: all that is known of a boot whose end nobody
//! could describe, because the hardware watchdog or somebody outside has reset the system.
//!
//! The tick stores the task that it has interrupted, and where. The start of a boot moves these two
//! words to the two behind them, before the first tick; who reads them there is not the kernel's
//! business.

use crate::arch;
use crate::task::Task;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Id and program counter of the task that the last tick has interrupted, and the same of the boot
/// before. The memory may be garbage at power-on.
pub type LastRanWords = [AtomicU32; 4];

/// In place of an id: no tick yet.
const NO_ID: u32 = u32::MAX;

/// Where the tick stores it if the application has no such memory.
static NOWHERE: LastRanWords = [const { AtomicU32::new(0) }; 4];

static WORDS: AtomicPtr<LastRanWords> = AtomicPtr::new((&raw const NOWHERE).cast_mut());

/// Begins a boot. To be called once, before the first tick.
pub(crate) fn begin(words: Option<&'static LastRanWords>) {
    let Some(words) = words else { return };
    let [id, pc, last_id, last_pc] = words;
    last_id.store(id.load(Ordering::Relaxed), Ordering::Relaxed);
    last_pc.store(pc.load(Ordering::Relaxed), Ordering::Relaxed);
    id.store(NO_ID, Ordering::Relaxed);
    WORDS.store(core::ptr::from_ref(words).cast_mut(), Ordering::Relaxed);
}

/// A tick has interrupted this task.
#[inline(always)]
pub(crate) fn note(task: &Task) {
    // SAFETY: the pointer is that of `NOWHERE` or was made from a `&'static` by `begin`.
    let [id, pc, ..] = unsafe { &*WORDS.load(Ordering::Relaxed) };
    id.store(task.id.0.into(), Ordering::Relaxed);
    pc.store(arch::program_counter(task), Ordering::Relaxed);
}
