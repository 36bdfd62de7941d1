// Included at the top of the crate in place of `stubs_arm.rs` on targets that have no Hubris
// kernel.

/// Defines stubs that panic.
macro_rules! without_kernel {
    ($(fn $name:ident($($ty:ty),*) $(-> $result:ty)?;)*) => {
        $(pub(crate) unsafe fn $name($(_: $ty),*) $(-> $result)? {
            panic!(concat!(stringify!($name), ": no Hubris kernel under this program"))
        })*
    };
}

without_kernel! {
    fn sys_send_stub(*const SendArguments) -> u64;
    fn sys_recv_stub(*mut ReceiveBlock);
    fn sys_reply_stub(u32, u32, *const u8, usize);
    fn sys_set_timer_stub(u32, u32, u32, u32);
    fn sys_borrow_read_stub(*const BorrowArguments) -> u64;
    fn sys_borrow_write_stub(*const BorrowArguments) -> u64;
    fn sys_borrow_info_stub(u32, usize, *mut [u32; 3]);
    fn sys_irq_control_stub(u32, u32);
    fn sys_panic_stub(*const u8, usize) -> !;
    fn sys_get_timer_stub(*mut [u32; 6]);
    fn sys_refresh_task_id_stub(u32) -> u32;
    fn sys_post_stub(u32, u32) -> u32;
    fn sys_reply_fault_stub(u32, u32);
    fn sys_irq_status_stub(u32) -> u32;
}
