// Included at the top of the crate, so that the symbols are `userlib::sys_*_stub`. The rules are in
// the crate's description. Arguments and results of each call are those of Hubris' reference,
// chapter on system calls.

use core::arch::naked_asm;

/// Defines one stub: the registers saved around the call, what comes before the SVC, what comes
/// after.
macro_rules! stub {
    (
        $(#[$doc:meta])*
        fn $name:ident($($argument:ident: $ty:ty),*) $(-> $result:ty)?
        = $number:literal, save $saved:literal, { $($before:literal)* } { $($after:literal)* }
    ) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name($($argument: $ty),*) $(-> $result)? {
            naked_asm!(
                concat!("push {{", $saved, ", lr}}"),
                $($before,)*
                concat!("mov r11, #", $number),
                "svc #0",
                $($after,)*
                concat!("pop {{", $saved, ", pc}}"),
            )
        }
    };
}

stub! {
    /// SEND. Response code and reply length.
    fn sys_send_stub(_arguments: *const SendArguments) -> u64
    = 0, save "r3-r11",
    { "ldm r0, {{r4-r10}}" }
    { "mov r0, r4" "mov r1, r5" }
}

stub! {
    /// RECV. Stores the results over the arguments; r0 still has the block's address, because the
    /// kernel preserves it.
    fn sys_recv_stub(_block: *mut ReceiveBlock)
    = 1, save "r4-r9, r11",
    { "ldm r0, {{r4-r7}}" }
    { "stm r0, {{r4-r9}}" }
}

stub! {
    /// REPLY.
    fn sys_reply_stub(_peer: u32, _code: u32, _message: *const u8, _length: usize)
    = 2, save "r4-r7, r11",
    { "mov r4, r0" "mov r5, r1" "mov r6, r2" "mov r7, r3" }
    { }
}

stub! {
    /// SET_TIMER.
    fn sys_set_timer_stub(_enable: u32, _deadline_low: u32, _deadline_high: u32, _notifications: u32)
    = 3, save "r4-r7, r11",
    { "mov r4, r0" "mov r5, r1" "mov r6, r2" "mov r7, r3" }
    { }
}

stub! {
    /// BORROW_READ. Response code and number of bytes.
    fn sys_borrow_read_stub(_arguments: *const BorrowArguments) -> u64
    = 4, save "r3-r8, r11",
    { "ldm r0, {{r4-r8}}" }
    { "mov r0, r4" "mov r1, r5" }
}

stub! {
    /// BORROW_WRITE. Response code and number of bytes.
    fn sys_borrow_write_stub(_arguments: *const BorrowArguments) -> u64
    = 5, save "r3-r8, r11",
    { "ldm r0, {{r4-r8}}" }
    { "mov r0, r4" "mov r1, r5" }
}

stub! {
    /// BORROW_INFO. Response code, attributes, length, stored through r2, which the kernel
    /// preserves.
    fn sys_borrow_info_stub(_lender: u32, _index: usize, _results: *mut [u32; 3])
    = 6, save "r3-r6, r11",
    { "mov r4, r0" "mov r5, r1" }
    { "stm r2, {{r4-r6}}" }
}

stub! {
    /// IRQ_CONTROL.
    fn sys_irq_control_stub(_mask: u32, _control: u32)
    = 7, save "r4, r5, r11",
    { "mov r4, r0" "mov r5, r1" }
    { }
}

stub! {
    /// PANIC. Does not return; pushes only what a debugger needs to show the caller's frame.
    fn sys_panic_stub(_message: *const u8, _length: usize) -> !
    = 8, save "r4, r5, r11",
    { "mov r4, r0" "mov r5, r1" }
    { "udf #0" }
}

stub! {
    /// GET_TIMER. Six words, stored through r0, which the kernel preserves.
    fn sys_get_timer_stub(_results: *mut [u32; 6])
    = 9, save "r4-r9, r11",
    { }
    { "stm r0, {{r4-r9}}" }
}

stub! {
    /// REFRESH_TASK_ID. The id.
    fn sys_refresh_task_id_stub(_task_id: u32) -> u32
    = 10, save "r4, r5, r11",
    { "mov r4, r0" }
    { "mov r0, r4" }
}

stub! {
    /// POST. Response code.
    fn sys_post_stub(_task_id: u32, _bits: u32) -> u32
    = 11, save "r4, r5, r11",
    { "mov r4, r0" "mov r5, r1" }
    { "mov r0, r4" }
}

stub! {
    /// REPLY_FAULT.
    fn sys_reply_fault_stub(_task_id: u32, _reason: u32)
    = 12, save "r4, r5, r11",
    { "mov r4, r0" "mov r5, r1" }
    { }
}

stub! {
    /// IRQ_STATUS. Status bits.
    fn sys_irq_status_stub(_mask: u32) -> u32
    = 13, save "r4, r5, r11",
    { "mov r4, r0" }
    { "mov r0, r4" }
}
