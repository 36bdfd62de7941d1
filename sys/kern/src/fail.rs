//! Failures of the kernel: the epitaph, the application's hook, and the reset.
//!
//! A panic, a processor exception in the kernel, a system without a runnable task, and a fault of
//! the supervisor all end here. The order matters: the epitaph comes first, where debuggers read
//! it, because it cannot fail; then the application's hook gets a [`Failure`] and can describe it
//! in retained memory; then the system is reset. A second failure on the way goes to the reset at
//! once, so this path always ends.

pub mod snapshot;

use crate::syscalls::args::PanicArgs;
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use crate::{arch, platform, time, umem};
use abi::{FaultInfo, TASK_REGISTERS, TaskId};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use snapshot::Stack;

/// Length of the epitaph, terminating zero included.
pub const EPITAPH_LEN: usize = 128;

/// Longest panic message of the supervisor that is kept, in bytes.
const MESSAGE_LEN: usize = 128;

/// Set when the kernel has failed.
#[unsafe(no_mangle)]
#[used]
pub static KERNEL_HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Why the kernel has failed, as a zero-terminated string.
#[unsafe(no_mangle)]
#[used]
pub static KERNEL_EPITAPH: [AtomicU8; EPITAPH_LEN] = [const { AtomicU8::new(0) }; EPITAPH_LEN];

/// What has failed, for the application's hook. [`snapshot::tasks`] has the states of the tasks.
pub struct Failure<'a> {
    /// Why, in a sentence.
    pub epitaph: &'a [u8],
    /// What the supervisor panicked with, if it did.
    pub message: &'a [u8],
    /// The fault of the supervisor; `None` if it was the kernel that failed.
    pub fault: Option<FaultInfo>,
    /// If it is a hang: how many milliseconds the supervisor did not come back; else 0.
    pub hang_ms: u32,
    /// Milliseconds since boot.
    pub time: u64,
    /// r0 to r12, sp, lr, pc, psr of the kernel, or of the supervisor.
    pub registers: [u32; TASK_REGISTERS],
    /// Its stack, from its stack pointer on.
    pub stack: Stack,
}

/// Fails with `reason` as the epitaph, and resets the system.
#[cold]
#[inline(never)]
pub fn die(reason: fmt::Arguments<'_>) -> ! {
    let registers = arch::capture();
    fail_of_kernel(reason, &registers)
}

/// Fails because the kernel has not returned to any task since the supervisor's timer expired; it
/// was interrupted with these registers.
#[cold]
pub(crate) fn fail_of_hanging_kernel(registers: &[u32; TASK_REGISTERS]) -> ! {
    let hang_ms = arch::hang_timer::period();
    let [.., sp, _lr, pc, _psr] = *registers;
    if write_epitaph(format_args!("hang: the kernel loops at {pc:#x}")) {
        call_hook(&[], None, hang_ms, registers, Stack::of_kernel(sp));
    }
    restart()
}

/// Fails because the supervisor's timer has expired: it loops, or waits where it should not.
#[cold]
#[inline(never)]
pub(crate) fn fail_of_hang(kernel: &Kernel) -> ! {
    let supervisor = &kernel[TaskHandle::supervisor()];
    let hang_ms = arch::hang_timer::period();
    let reason = format_args!("hang: the supervisor did not come back for {hang_ms} ms");
    if write_epitaph(reason) {
        let registers = arch::registers(supervisor);
        let [.., sp, _lr, _pc, _psr] = registers;
        let fault = FaultInfo::Injected(TaskId::KERNEL);
        let stack = Stack::of_supervisor(sp);
        call_hook(&[], Some(fault), hang_ms, &registers, stack);
    }
    restart()
}

/// Fails at a processor exception in the kernel, taken with these registers.
#[cold]
pub(crate) fn fail_of_kernel(reason: fmt::Arguments<'_>, registers: &[u32; TASK_REGISTERS]) -> ! {
    if write_epitaph(reason) {
        let [.., sp, _lr, _pc, _psr] = *registers;
        call_hook(&[], None, 0, registers, Stack::of_kernel(sp));
    }
    restart()
}

/// Fails at a fault of the supervisor: no other task could restart it.
#[cold]
#[inline(never)]
pub(crate) fn fail_of_supervisor(task: &Task, fault: FaultInfo) -> ! {
    if write_epitaph(format_args!("supervisor fault: {fault:?}")) {
        let mut message = [0; MESSAGE_LEN];
        let mut length = 0;
        if let FaultInfo::Panic = fault
            && let Ok(text) = PanicArgs::of(task).message.check()
        {
            length = umem::read_without_secrets(task, text, &mut message).unwrap_or(0);
        }
        let registers = arch::registers(task);
        let [.., sp, _lr, _pc, _psr] = registers;
        call_hook(
            message.get(..length).unwrap_or_default(),
            Some(fault),
            0,
            &registers,
            Stack::of_supervisor(sp),
        );
    }
    restart()
}

/// Writes the epitaph. Returns `false` if the kernel has failed before: then handling that failure
/// has failed, too, and only the reset is left.
fn write_epitaph(reason: fmt::Arguments<'_>) -> bool {
    arch::mask_interrupts();
    if KERNEL_HAS_FAILED.swap(true, Ordering::Relaxed) {
        return false;
    }
    // Writing to the epitaph does not fail. If a formatter does, the text before it stays.
    let _ = Epitaph { written: 0 }.write_fmt(reason);
    true
}

/// Calls the application's hook.
fn call_hook(
    message: &[u8],
    fault: Option<FaultInfo>,
    hang_ms: u32,
    registers: &[u32; TASK_REGISTERS],
    stack: Stack,
) {
    let Some(platform) = platform::get() else {
        return;
    };
    let mut text = [0; EPITAPH_LEN];
    for (byte, source) in text.iter_mut().zip(&KERNEL_EPITAPH) {
        *byte = source.load(Ordering::Relaxed);
    }
    let length = text.iter().position(|&byte| byte == 0);
    (platform.on_failure)(&Failure {
        epitaph: text
            .get(..length.unwrap_or(EPITAPH_LEN))
            .unwrap_or_default(),
        message,
        fault,
        hang_ms,
        time: time::now(),
        registers: *registers,
        stack,
    });
}

/// Milliseconds since boot. After a failure the kernel counts no ticks any more.
pub fn now() -> u64 {
    time::now().saturating_add(arch::timer::pending())
}

/// Resets the system because this task, by index, asks for it.
pub(crate) fn restart_for(task: u16) -> ! {
    if let Some(platform) = platform::get() {
        (platform.on_restart)(task);
    }
    restart()
}

/// Resets the system.
pub(crate) fn restart() -> ! {
    // The reset takes a moment, in which the hang timer must not expire.
    arch::mask_interrupts();
    if let Some(platform) = platform::get() {
        (platform.reset)();
    }
    // The reset takes a moment to take effect. Before the platform is known the kernel cannot reset
    // it, and stops here.
    arch::wait_for_reset()
}

/// Appends to the epitaph. What does not fit is left out; the last byte stays zero.
struct Epitaph {
    written: usize,
}

impl Write for Epitaph {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (_terminator, room) = KERNEL_EPITAPH.split_last().ok_or(fmt::Error)?;
        for (slot, byte) in room.iter().skip(self.written).zip(text.bytes()) {
            slot.store(byte, Ordering::Relaxed);
            self.written = self.written.saturating_add(1);
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => die(format_args!(
            "{}:{}: {}",
            at.file(),
            at.line(),
            info.message()
        )),
        None => die(format_args!("{}", info.message())),
    }
}
