// Included at the top of the crate in place of `stubs_arm.rs` on targets that have no Hubris
// kernel. A test may install one: see module `host`.

/// Defines stubs that panic.
macro_rules! without_kernel {
    ($(fn $name:ident($($ty:ty),*) $(-> $result:ty)?;)*) => {
        $(pub(crate) unsafe fn $name($(_: $ty),*) $(-> $result)? {
            panic!(concat!(stringify!($name), ": no Hubris kernel under this program"))
        })*
    };
}

without_kernel! {
    fn sys_post_stub(u32, u32) -> u32;
    fn sys_irq_status_stub(u32) -> u32;
}

/// A response code and a length, as the stubs return them.
fn code_in_low_word((code, length): (u32, usize)) -> u64 {
    u64::from(code) | (length as u64) << 32
}

/// SEND, to the kernel only.
pub(crate) unsafe fn sys_send_stub(arguments: *const SendArguments) -> u64 {
    // SAFETY: the caller passes valid arguments (module `syscalls`).
    let (target, operation, message, reply) = unsafe { (*arguments).parts() };
    assert_eq!(target, TaskId::KERNEL, "SEND to a task: not implemented on a host");
    code_in_low_word(host::kernel("SEND").kernel_ipc(operation, message, reply))
}

pub(crate) unsafe fn sys_refresh_task_id_stub(id: u32) -> u32 {
    let id = host::kernel("REFRESH_TASK_ID").refresh_task_id(TaskId(id as u16));
    id.0.into()
}

pub(crate) unsafe fn sys_recv_stub(block: *mut ReceiveBlock) {
    // SAFETY: the caller passes a valid block, which it does not use meanwhile (module `syscalls`).
    unsafe { (*block).receive(|buffer, mask| host::kernel("RECV").recv(buffer, mask)) }
}

pub(crate) unsafe fn sys_reply_stub(peer: u32, code: u32, message: *const u8, length: usize) {
    // SAFETY: pointer and length are those of a slice (module `syscalls`).
    let message = unsafe { core::slice::from_raw_parts(message, length) };
    host::kernel("REPLY").reply(TaskId(peer as u16), code, message);
}

pub(crate) unsafe fn sys_reply_fault_stub(peer: u32, reason: u32) {
    host::kernel("REPLY_FAULT").reply_fault(TaskId(peer as u16), reason);
}

pub(crate) unsafe fn sys_set_timer_stub(enable: u32, low: u32, high: u32, notifications: u32) {
    let deadline = (enable != 0).then_some(u64::from(low) | u64::from(high) << 32);
    host::kernel("SET_TIMER").set_timer(deadline, notifications);
}

pub(crate) unsafe fn sys_get_timer_stub(results: *mut [u32; 6]) {
    let timer = host::kernel("GET_TIMER").timer();
    let deadline = timer.deadline.unwrap_or(0);
    let words = [
        timer.now as u32,
        (timer.now >> 32) as u32,
        timer.deadline.is_some().into(),
        deadline as u32,
        (deadline >> 32) as u32,
        timer.on_dl,
    ];
    // SAFETY: the caller passes memory for six words (module `syscalls`).
    unsafe { results.write(words) };
}

pub(crate) unsafe fn sys_borrow_read_stub(arguments: *const BorrowArguments) -> u64 {
    // SAFETY: the caller passes valid arguments, with memory that it borrows exclusively (module
    // `syscalls`).
    let (lender, index, offset, dest) = unsafe { (*arguments).destination() };
    code_in_low_word(host::kernel("BORROW_READ").borrow_read(lender, index, offset, dest))
}

pub(crate) unsafe fn sys_borrow_write_stub(arguments: *const BorrowArguments) -> u64 {
    // SAFETY: the caller passes valid arguments (module `syscalls`).
    let (lender, index, offset, src) = unsafe { (*arguments).source() };
    code_in_low_word(host::kernel("BORROW_WRITE").borrow_write(lender, index, offset, src))
}

pub(crate) unsafe fn sys_borrow_info_stub(lender: u32, index: usize, results: *mut [u32; 3]) {
    let info = host::kernel("BORROW_INFO").borrow_info(TaskId(lender as u16), index);
    let words = info.map_or([DEFECT, 0, 0], |info| {
        [0, info.attributes.bits(), info.len as u32]
    });
    // SAFETY: the caller passes memory for three words (module `syscalls`).
    unsafe { results.write(words) };
}

pub(crate) unsafe fn sys_irq_control_stub(mask: u32, control: u32) {
    host::kernel("IRQ_CONTROL").irq_control(mask, control);
}

pub(crate) unsafe fn sys_panic_stub(message: *const u8, length: usize) -> ! {
    // SAFETY: pointer and length are those of a slice (module `syscalls`).
    let message = unsafe { core::slice::from_raw_parts(message, length) };
    panic!("PANIC: {}", String::from_utf8_lossy(message))
}
