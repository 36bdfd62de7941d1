//! A kernel for tests on a host: what the system calls of this thread do there.
//!
//! A test that runs a task's code installs a [`HostKernel`] first. Without one, a system call
//! panics. A call that would fault the task is for the kernel to refuse, by a panic.

use crate::{BorrowInfo, RecvMessage, TaskId, TimerState};
use std::cell::RefCell;
use std::rc::Rc;

/// What a server needs of a kernel, as the system calls of the same names. Each call that is not
/// implemented panics.
pub trait HostKernel {
    /// RECV from any task.
    fn recv(&self, buffer: &mut [u8], notification_mask: u32) -> RecvMessage;

    /// REPLY.
    fn reply(&self, peer: TaskId, code: u32, message: &[u8]);

    /// REPLY_FAULT.
    fn reply_fault(&self, peer: TaskId, reason: u32);

    /// BORROW_INFO.
    fn borrow_info(&self, lender: TaskId, index: usize) -> Option<BorrowInfo>;

    /// BORROW_READ: response code and number of bytes.
    fn borrow_read(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        dest: &mut [u8],
    ) -> (u32, usize);

    /// BORROW_WRITE: response code and number of bytes.
    fn borrow_write(&self, lender: TaskId, index: usize, offset: usize, src: &[u8])
    -> (u32, usize);

    /// GET_TIMER.
    fn timer(&self) -> TimerState;

    /// SET_TIMER.
    fn set_timer(&self, deadline: Option<u64>, notifications: u32);

    /// REFRESH_TASK_ID.
    fn refresh_task_id(&self, id: TaskId) -> TaskId {
        panic!("REFRESH_TASK_ID of task {}: not implemented", id.index())
    }

    /// IRQ_CONTROL.
    fn irq_control(&self, mask: u32, control: u32);

    /// Kernel IPC: response code and number of bytes.
    fn kernel_ipc(&self, operation: u16, message: &[u8], reply: &mut [u8]) -> (u32, usize);
}

std::thread_local! {
    static KERNEL: RefCell<Option<Rc<dyn HostKernel>>> = const { RefCell::new(None) };
}

/// Makes `kernel` the kernel of this thread.
pub fn install(kernel: Rc<dyn HostKernel>) {
    KERNEL.with(|cell| *cell.borrow_mut() = Some(kernel));
}

/// The kernel of this thread.
///
/// # Panics
///
/// If there is none.
pub(crate) fn kernel(call: &str) -> Rc<dyn HostKernel> {
    let kernel = KERNEL.with(|cell| cell.borrow().clone());
    kernel.unwrap_or_else(|| panic!("{call}: no Hubris kernel under this program"))
}
