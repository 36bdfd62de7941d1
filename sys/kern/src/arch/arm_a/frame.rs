//! A stopped task's registers: where they would be on an ARMv7-M with FPU.
//!
//! r4 to r11 and the stack pointer are in the task table; r0 to r3, r12, lr, pc and the PSR are in
//! an *extended exception frame* of 26 words on the task's own stack, of which the last 18 are
//! reserved for s0 to s15 and FPSCR. Stock debuggers read only this layout, so the exception entry
//! writes it before the kernel does anything else.
//!
//! The kernel writes the frame with its own access rights. So the entry first checks that the frame
//! lies inside the task's stack region, or elsewhere in plain memory that the task may write.
//! Otherwise the task is faulted with StackOverflow, and the frame is stored at the lowest address
//! of its stack region, where debuggers can read it; the true stack pointer is kept in
//! [`ArchState::lost_stack_pointer`].
//!
//! Floating-point registers stay in the processor until another task uses the unit (`fpu`); then
//! they are saved in the task table.

use super::entry::CURRENT_TASK_PTR;
use super::{fpu, memory};
use crate::descs::RegionAttributes;
use crate::task::Task;
use abi::{FaultInfo, IrqStatus, SavedExtent, TASK_REGISTERS, TaskId};
use core::sync::atomic::Ordering;
use kerncore::region::EXTENDED_FRAME;
use kerncore::slice::covered;

/// Size of an extended exception frame.
pub(crate) const FRAME_BYTES: u32 = EXTENDED_FRAME;

/// Word that fills the unused part of a stack, by which debuggers tell how deep the stack has been.
const STACK_FILL: u32 = SavedExtent::STACK_FILL;

/// EXC_RETURN of a task on ARMv7-M: thread mode, process stack, extended frame. Only debuggers read
/// it.
const EXC_RETURN: u32 = 0xffff_ffed;

/// Thumb state in an xPSR.
const XPSR_T: u32 = 1 << 24;

/// Registers of a task that is not running, besides its frame.
#[derive(Debug, Default)]
#[repr(C)]
#[allow(missing_docs)] // The fields are registers.
pub struct SavedState {
    pub(crate) r4: u32,
    pub(crate) r5: u32,
    pub(crate) r6: u32,
    pub(crate) r7: u32,
    pub(crate) r8: u32,
    pub(crate) r9: u32,
    pub(crate) r10: u32,
    pub(crate) r11: u32,
    pub(crate) psp: u32,
    pub(crate) exc_return: u32,
    pub(crate) fp: fpu::Registers,
}

/// What the exception entry and the switch between tasks need to know about a task.
#[derive(Debug, Default)]
#[repr(C)]
pub struct ArchState {
    /// TTBR0.
    pub(crate) translation_table: u32,
    /// CONTEXTIDR: the ASID.
    pub(crate) address_space: u32,
    /// Size in bytes of the stack region, the region that the stack is in.
    pub(crate) stack_size: u32,
    /// Lowest address of the stack region.
    pub(crate) stack_low: u32,
    /// Highest offset from there at which a frame fits, in words, not bytes: see `enter` in
    /// `arch::arm_a::entry`.
    pub(crate) stack_room: u32,
    /// FPEXC: enabled while the floating-point registers are this task's.
    pub(crate) fpexc: u32,
    /// Stack pointer when the frame did not fit; 0 if it did.
    pub(crate) lost_stack_pointer: u32,
}

impl ArchState {
    /// Does `[base, end)` lie in the stack region? That is plain memory that the task may read and
    /// write.
    #[inline(always)]
    pub(crate) fn in_stack_region(&self, base: u32, end: u32) -> bool {
        // Correct because neither the region nor `[base, end)` wraps.
        base >= self.stack_low && end.wrapping_sub(self.stack_low) <= self.stack_size
    }

    /// Do `length` bytes from `base` on lie in the stack region? If so they do not wrap, since the
    /// region does not.
    #[inline(always)]
    pub(crate) fn has_in_stack_region(&self, base: u32, length: u32) -> bool {
        let offset = base.wrapping_sub(self.stack_low);
        // An address below the region gives an offset that wraps and so exceeds the size.
        self.stack_size
            .checked_sub(offset)
            .is_some_and(|rest| length <= rest)
    }

    /// Do the regions of two tasks' stacks have a byte in common?
    pub(crate) fn shares_stack(&self, other: &Self) -> bool {
        let end = |arch: &Self| arch.stack_low.saturating_add(arch.stack_size);
        self.stack_low < end(other) && other.stack_low < end(self)
    }
}

/// Results of RECV.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Received {
    /// The sender; [`TaskId::KERNEL`] for notifications.
    pub(crate) sender: TaskId,
    /// Operation of the message, or the notification bits.
    pub(crate) operation: u32,
    /// Length of the message in bytes; more than the buffer holds if it was cut off.
    pub(crate) message_len: u32,
    /// Size of the sender's reply buffer in bytes.
    pub(crate) reply_capacity: u32,
    /// Number of leases.
    pub(crate) lease_count: u32,
}

/// System call arguments and results in a task's saved registers. Which register is which is ABI:
/// arguments and results from r4 on, the number in r11. What each argument means is in
/// `syscalls::args`.
impl SavedState {
    /// Arguments 0 to 6. `syscalls::args` gives them names and is what callers should use.
    #[inline(always)]
    pub(crate) fn arguments(&self) -> [u32; 7] {
        [
            self.r4, self.r5, self.r6, self.r7, self.r8, self.r9, self.r10,
        ]
    }

    /// Results of SEND, BORROW_READ, BORROW_WRITE and POST, and of every call that ends with a
    /// response code: code and length.
    #[inline(always)]
    pub(crate) fn set_response(&mut self, code: u32, len: u32) {
        self.r4 = code;
        self.r5 = len;
    }

    /// Results of RECV.
    #[inline(always)]
    pub(crate) fn set_received(&mut self, received: Received) {
        self.r4 = 0;
        self.r5 = u32::from(received.sender.0);
        self.r6 = received.operation;
        self.r7 = received.message_len;
        self.r8 = received.reply_capacity;
        self.r9 = received.lease_count;
    }

    /// Results of BORROW_INFO.
    pub(crate) fn set_borrow_info(&mut self, attributes: u32, len: u32) {
        self.r4 = 0;
        self.r5 = attributes;
        self.r6 = len;
    }

    /// Results of GET_TIMER.
    pub(crate) fn set_time(&mut self, now: u64, deadline: Option<u64>, bits: u32) {
        self.r4 = now as u32;
        self.r5 = (now >> 32) as u32;
        self.r6 = u32::from(deadline.is_some());
        let deadline = deadline.unwrap_or_default();
        self.r7 = deadline as u32;
        self.r8 = (deadline >> 32) as u32;
        self.r9 = bits;
    }

    /// Result of REFRESH_TASK_ID.
    pub(crate) fn set_refreshed(&mut self, id: TaskId) {
        self.r4 = u32::from(id.0);
    }

    /// Result of IRQ_STATUS.
    pub(crate) fn set_irq_status(&mut self, status: IrqStatus) {
        self.r4 = status.bits();
    }
}

/// Gives a task the registers and the stack of a new start. Of the unused stack what lies below
/// `kept_below` stays as it is, if that is in the stack.
pub(crate) fn reinitialize(task: &mut Task, kept_below: u32) {
    fpu::forget(task);
    // The banked registers hold the state from before the restart; the short way out must not use
    // them.
    let running = CURRENT_TASK_PTR.load(Ordering::Relaxed);
    if core::ptr::eq(running, task) {
        CURRENT_TASK_PTR.store(core::ptr::null_mut(), Ordering::Relaxed);
    }
    let descriptor = task.descriptor;
    // Checked at start: the stack region reaches at least a frame below the initial stack pointer.
    let frame = descriptor.initial_stack.wrapping_sub(FRAME_BYTES);
    let low = fill_start(task);
    let is_in_stack = (low..frame).contains(&kept_below);
    let low = if is_in_stack { kept_below } else { low };
    memory::fill(low, frame, STACK_FILL);
    memory::fill(frame, descriptor.initial_stack, 0);
    let words = [0, 0, 0, 0, 0, u32::MAX, descriptor.entry_point | 1, XPSR_T];
    memory::store(frame, &words);
    task.save = SavedState {
        psp: frame,
        exc_return: EXC_RETURN,
        ..SavedState::default()
    };
    task.arch.lost_stack_pointer = 0;
}

/// Lowest address that is filled: that of the stack region, or of writable memory that adjoins it
/// below, into which the stack may grow.
fn fill_start(task: &Task) -> u32 {
    let wanted = RegionAttributes::READ | RegionAttributes::WRITE;
    let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
    let mut low = task.arch.stack_low;
    for region in task.descriptor.regions.iter().rev() {
        if region.base.wrapping_add(region.size) == low
            && region.attributes.contains(wanted)
            && !region.attributes.intersects(unwanted)
        {
            low = region.base;
        }
    }
    low
}

/// Stores a frame that does not fit into the task's stack region at `frame`, if the task may write
/// there.
///
/// # Errors
///
/// StackOverflow if it may not. The registers are preserved all the same, at the low end of the
/// stack region.
pub(crate) fn store_elsewhere(
    task: &mut Task,
    frame: u32,
    words: &[u32; 8],
) -> Result<(), FaultInfo> {
    let wanted = RegionAttributes::WRITE;
    let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
    let fits = frame.checked_add(FRAME_BYTES).is_some_and(|end| {
        covered(task.descriptor.regions, frame, end, |region| {
            region.attributes.contains(wanted) && !region.attributes.intersects(unwanted)
        })
    });
    if fits {
        memory::store(frame, words);
        task.save.psp = frame;
        return Ok(());
    }
    let bottom = task.arch.stack_low;
    memory::store(bottom, words);
    task.save.psp = bottom;
    task.arch.lost_stack_pointer = frame.wrapping_add(FRAME_BYTES);
    Err(FaultInfo::StackOverflow { address: frame })
}

/// r0 to r12, sp, lr, pc, psr of a stopped task.
pub(crate) fn registers(task: &Task) -> [u32; TASK_REGISTERS] {
    let save = &task.save;
    let [r0, r1, r2, r3, r12, lr, pc, psr] = memory::load(save.psp);
    let sp = stack_pointer(task);
    [
        r0, r1, r2, r3, save.r4, save.r5, save.r6, save.r7, save.r8, save.r9, save.r10, save.r11,
        r12, sp, lr, pc, psr,
    ]
}

/// Program counter and stack pointer of a stopped task. `psp` is the address of its frame, which
/// must be readable; `lost` is its [`ArchState::lost_stack_pointer`].
pub(crate) fn place(psp: u32, lost: u32) -> (u32, u32) {
    let [.., pc, _psr] = memory::load(psp);
    let sp = match lost {
        0 => psp.wrapping_add(FRAME_BYTES),
        pointer => pointer,
    };
    (pc, sp)
}

/// The program counter of a task that does not run.
#[inline(always)]
pub(crate) fn program_counter(task: &Task) -> u32 {
    memory::load_word(task.save.psp, 6)
}

/// Was the task in Thumb state?
pub(crate) fn is_thumb(task: &Task) -> bool {
    memory::load_word(task.save.psp, 7) & XPSR_T != 0
}

/// A stopped task's stack pointer.
pub(crate) fn stack_pointer(task: &Task) -> u32 {
    match task.arch.lost_stack_pointer {
        0 => task.save.psp.wrapping_add(FRAME_BYTES),
        pointer => pointer,
    }
}
