//! `userlib`: system calls, kernel IPC, task slots, units.

use core::num::NonZeroUsize;
use core::str::Utf8Chunks;
use userlib::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[test]
fn system_calls() {
    type Send = fn(TaskId, u16, &[u8], &mut [u8], &[Lease<'_>]) -> (u32, usize);
    type Closed = fn(&mut [u8], u32, TaskId) -> Result<RecvMessage, ClosedRecvError>;
    type Recv = fn(&mut [u8], u32, Option<TaskId>) -> Result<RecvMessage, u32>;
    type Read = fn(TaskId, usize, usize, &mut [u8]) -> (u32, usize);
    type Write = fn(TaskId, usize, usize, &[u8]) -> (u32, usize);
    let _: Send = sys_send;
    let _: fn(&mut [u8], u32) -> RecvMessage = sys_recv_open;
    let _: Closed = sys_recv_closed;
    let _: Recv = sys_recv;
    let _: fn(u32) -> NotificationBits = sys_recv_notification;
    let _: fn(TaskId, u32, &[u8]) = sys_reply;
    let _: fn(TaskId, ReplyFaultReason) = sys_reply_fault;
    let _: fn(Option<u64>, u32) = sys_set_timer;
    let _: fn(u32, u32) -> u64 = set_timer_relative;
    let _: fn() -> TimerState = sys_get_timer;
    let _: Read = sys_borrow_read;
    let _: Write = sys_borrow_write;
    let _: fn(TaskId, usize) -> Option<BorrowInfo> = sys_borrow_info;
    let _: fn(u32, bool) = sys_irq_control;
    let _: fn(u32, bool) = sys_irq_control_clear_pending;
    let _: fn(u32) -> IrqStatus = sys_irq_status;
    let _: fn(&[u8]) -> ! = sys_panic;
    let _: fn(TaskId) -> TaskId = sys_refresh_task_id;
    let _: fn(TaskId, u32) -> u32 = sys_post;
    let length: usize = PANIC_MESSAGE_MAX_LEN;
    assert_eq!(length, 128);
}

#[test]
fn types() {
    fn lease<'a>(a: &'a [u8], b: &'a mut [u8], c: &'a mut [u8]) -> [Lease<'a>; 3] {
        [
            Lease::read_only(a),
            Lease::read_write(b),
            Lease::write_only(c),
        ]
    }
    fn converted<'a>(a: &'a [u8], b: &'a mut [u8]) -> (Lease<'a>, Lease<'a>) {
        (Lease::from(a), b.into())
    }
    assert_eq!(lease(&[1], &mut [2], &mut [3]).len(), 3);
    let _ = converted(&[1], &mut [2]);
    assert_eq!(size_of::<Lease<'_>>(), size_of::<ULease>());

    let message = RecvMessage {
        sender: TaskId(1),
        operation: 2_u32,
        message_len: 3_usize,
        response_capacity: 4_usize,
        lease_count: 5_usize,
    };
    assert_eq!(message.sender, TaskId(1));
    let ClosedRecvError::Dead(generation) = ClosedRecvError::Dead(Generation::ZERO);
    assert_eq!(generation, Generation::ZERO);

    let bits = NotificationBits::new(5);
    let copy = bits;
    let raw: u32 = bits.get_raw_bits();
    assert_eq!(raw, 5);
    assert!(copy.check_notification_mask(4) && !bits.check_notification_mask(2));
    assert!(bits.check_condition(1, || true) && !bits.check_condition(1, || false));
    let _: fn(&NotificationBits, u32) -> bool = NotificationBits::has_timer_fired;
    assert_eq!(size_of::<NotificationBits>(), 4);

    let timer = TimerState {
        now: 1_u64,
        deadline: Some(2_u64),
        on_dl: 3_u32,
    };
    assert_eq!(timer.on_dl, 3);
    let info = BorrowInfo {
        attributes: LeaseAttributes::READ,
        len: 1_usize,
    };
    assert_eq!(info.len, 1);
}

#[test]
fn re_exports() {
    #[derive(Copy, Clone, Debug, PartialEq, FromPrimitive, ToPrimitive)]
    enum Operation {
        First = 1,
        Second,
    }
    // The derives and the traits of the same names are in scope, and available by the crate's path.
    assert_eq!(Operation::from_u32(2), Some(Operation::Second));
    assert_eq!(Operation::First.to_u8(), Some(1));
    fn by_path<T: userlib::FromPrimitive + userlib::ToPrimitive>() {}
    by_path::<Operation>();
    let present: u8 = Some(3).unwrap_lite();
    let right: u8 = Ok::<_, ()>(4).unwrap_lite();
    assert_eq!((present, right), (3, 4));
    fn through<T: userlib::UnwrapLite>(value: T) -> T::Output {
        value.unwrap_lite()
    }
    assert_eq!(through(Some(1)), 1);
    // The crate and the re-export of userlib are the same type.
    fn same(
        section: userlib::critical_section::CriticalSection<'_>,
    ) -> critical_section::CriticalSection<'_> {
        section
    }
    let _: fn(_) -> _ = same;
    #[allow(unused_imports)]
    use userlib::{critical_section as _, hl as _, kipc as _, macros as _, task_slot as _};
}

#[test]
fn kernel_ipc() {
    type Panic = fn(
        usize,
        &mut [u8; PANIC_MESSAGE_MAX_LEN],
    ) -> Result<Utf8Chunks<'_>, ReadPanicMessageError>;
    let _: fn(usize) -> TaskState = kipc::read_task_status;
    let _: fn(usize) -> Option<NonZeroUsize> = kipc::find_faulted_task;
    let _: fn(usize) -> TaskDumpRegion = kipc::get_task_desc_region;
    let _: fn(usize, usize) -> Option<TaskDumpRegion> = kipc::get_task_dump_region;
    let _: fn(usize, TaskDumpRegion, &mut [u8]) -> usize = kipc::read_task_dump_region;
    let _: fn(usize, bool) = kipc::reinit_task;
    let _: fn(usize) = kipc::fault_task;
    let _: fn() -> ! = kipc::system_restart;
    let _: fn() -> u64 = kipc::read_image_id;
    let _: fn(usize, u32) = kipc::software_irq;
    let _: Panic = kipc::read_panic_message;
}

task_slot!(PRIVATE, some_task);
mod inner {
    userlib::task_slot!(pub PUBLIC, other);
    userlib::task_slot!(pub(crate) CRATE, itself);
}

#[test]
fn task_slots() {
    let _: &'static task_slot::TaskSlot = &PRIVATE;
    let _: fn(&task_slot::TaskSlot) -> TaskId = task_slot::TaskSlot::get_task_id;
    let _: fn(&task_slot::TaskSlot) -> u16 = task_slot::TaskSlot::get_task_index;
    static BY_HAND: task_slot::TaskSlot = task_slot::TaskSlot::UNBOUND;
    for slot in [&PRIVATE, &inner::PUBLIC, &inner::CRATE, &BY_HAND] {
        assert_eq!(slot.get_task_index(), TaskId::UNBOUND.0);
    }
}

/// Only the bounds of upstream's functions.
#[allow(dead_code)]
mod hl_bounds {
    use super::*;
    use userlib::hl::{Borrow, Caller, Message};

    fn recv<'a, O: FromPrimitive, E: Into<u32>, S>(
        buffer: &'a mut [u8],
        mask: u32,
        state: S,
        notify: impl FnOnce(S, u32),
        msg: impl FnOnce(S, O, Message<'a>) -> Result<(), E>,
    ) {
        hl::recv(buffer, mask, state, notify, msg);
    }

    fn recv_without<'a, O: FromPrimitive, E: Into<u32>>(
        buffer: &'a mut [u8],
        msg: impl FnOnce(O, Message<'a>) -> Result<(), E>,
    ) {
        hl::recv_without_notification(buffer, msg);
    }

    fn recv_from<'a, O: FromPrimitive, E: Into<u32>, S>(
        source: Option<TaskId>,
        buffer: &'a mut [u8],
        mask: u32,
        state: S,
        notify: impl FnOnce(S, u32),
        msg: impl FnOnce(S, O, Message<'a>) -> Result<(), E>,
    ) -> Result<(), ClosedRecvError> {
        hl::recv_from(source, buffer, mask, state, notify, msg)
    }

    fn recv_from_without<'a, O: FromPrimitive, E: Into<u32>>(
        source: Option<TaskId>,
        buffer: &'a mut [u8],
        msg: impl FnOnce(O, Message<'a>) -> Result<(), E>,
    ) -> Result<(), ClosedRecvError> {
        hl::recv_from_without_notification(source, buffer, msg)
    }

    fn message<'a, M, R>(message: Message<'a>) -> Option<(&'a M, Caller<R>)>
    where
        M: FromBytes + KnownLayout + Immutable,
        R: IntoBytes,
    {
        let _: usize = message.lease_count();
        message.fixed()
    }

    fn message_with_leases<'a, M, R>(message: Message<'a>) -> Option<(&'a M, Caller<R>)>
    where
        M: FromBytes + KnownLayout + Immutable,
        R: IntoBytes,
    {
        message.fixed_with_leases(2)
    }

    fn caller(caller: Caller<u32>, other: Caller<()>, third: Caller<[u8; 3]>) {
        let _: TaskId = caller.task_id();
        caller.reply(1);
        other.reply(());
        third.reply_fail(7_u32);
        Caller::<u8>::from(TaskId(1)).reply_fail(Code::One);
    }

    fn borrow(borrow: &Borrow<'_>) -> Option<u32> {
        let info: Option<BorrowInfo> = borrow.info();
        let _: Option<()> = borrow.read_fully_at(0, &mut [0; 4]);
        let _: Option<()> = borrow.write_fully_at(0, &[0; 4]);
        let _: Option<()> = borrow.write_at(4, 0x1234_u16);
        info.and(borrow.read_at::<u32>(0))
    }

    fn of_caller(caller: &Caller<()>) -> Borrow<'_> {
        caller.borrow(0)
    }

    enum Code {
        One,
    }

    impl From<Code> for u32 {
        fn from(code: Code) -> Self {
            match code {
                Code::One => 1,
            }
        }
    }
}

#[test]
fn sleep() {
    let _: fn(u64) = hl::sleep_until;
    let _: fn(u64) = hl::sleep_for;
    assert_eq!(hl::INTERNAL_TIMER_NOTIFICATION, 1 << 31);
}

#[test]
fn units() {
    use userlib::units::{Amperes, Celsius, Ohms, PWMDuty, Rpm, Volts, Watts};
    let _: [fn(f32) -> f32; 5] = [
        |x| Celsius(x).0,
        |x| Volts(x).0,
        |x| Amperes(x).0,
        |x| Ohms(x).0,
        |x| Watts(x).0,
    ];
    let _: fn(u16) -> Rpm = Rpm;
    let _: fn(u8) -> PWMDuty = PWMDuty;
    assert!(PWMDuty::try_from(100_u8).is_ok() && PWMDuty::try_from(101_u8).is_err());
    fn bytes<T: FromBytes + IntoBytes + serde::Serialize>() {}
    bytes::<Celsius>();
    bytes::<PWMDuty>();
}

#[test]
fn constants_and_atomics() {
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use userlib::armv6m_atomic_hack::{AtomicBoolExt, AtomicU32Ext};
    static PATCHED: userlib::VolatileConst<u16> = userlib::VolatileConst::new(7);
    static SAME: volatile_const::VolatileConst<u16> = volatile_const::VolatileConst::new(8);
    let _: *const u16 = PATCHED.as_ptr();
    assert_eq!((PATCHED.get(), SAME.get()), (7, 8));
    fn word<T: AtomicU32Ext + armv6m_atomic_hack::AtomicU32Ext>(word: &T) -> [u32; 3] {
        let order = Ordering::Relaxed;
        [
            AtomicU32Ext::swap(word, 5, order),
            AtomicU32Ext::fetch_add(word, 2, order),
            AtomicU32Ext::fetch_sub(word, 1, order),
        ]
    }
    assert_eq!(word(&AtomicU32::new(1)), [1, 5, 7]);
    fn flag<T: AtomicBoolExt>(flag: &T) -> bool {
        AtomicBoolExt::swap(flag, true, Ordering::AcqRel)
    }
    assert!(!flag(&AtomicBool::new(false)));
}
