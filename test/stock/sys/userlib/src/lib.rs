//! Upstream's names of `userlib`.
#![no_std]

pub use abi::*;
pub use ours::{
    hl, set_timer_relative, sys_borrow_info, sys_borrow_read, sys_borrow_write, sys_get_timer,
    sys_irq_control, sys_irq_control_clear_pending, sys_irq_status, sys_panic, sys_post, sys_recv,
    sys_recv_closed, sys_recv_notification, sys_recv_open, sys_refresh_task_id, sys_reply,
    sys_reply_fault, sys_send, sys_set_timer, task_slot, units, BorrowInfo, ClosedRecvError,
    FromPrimitive, Lease, NotificationBits, RecvMessage, TimerState, ToPrimitive, UnwrapLite,
    PANIC_MESSAGE_MAX_LEN,
};

pub mod kipc {
    pub use ours::kipc::{
        fault_task, find_faulted_task, get_task_desc_region, get_task_dump_region, read_image_id,
        read_panic_message, read_task_dump_region, read_task_status, reinit_task, software_irq,
        system_restart,
    };
}
