//! `abi`: constants and types. Tasks use them through `userlib`.

use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use userlib::*;

fn plain<T: Copy + Clone + Debug + Serialize + for<'a> Deserialize<'a>>() {}
fn equal<T: Eq + PartialEq>() {}

#[test]
fn task_ids() {
    let _: fn(u16) -> TaskId = TaskId;
    const MADE: TaskId = TaskId::for_index_and_gen(0x7ff, Generation::ZERO);
    let _: fn(usize, Generation) -> TaskId = TaskId::for_index_and_gen;
    let _: fn(&TaskId) -> usize = TaskId::index;
    let _: fn(&TaskId) -> Generation = TaskId::generation;
    let _: fn(TaskId) -> TaskId = TaskId::next_generation;
    let _: fn(Generation) -> Generation = Generation::next;
    let (bits, mask): (u32, u16) = (TaskId::INDEX_BITS, TaskId::INDEX_MASK);
    assert_eq!((bits, mask), (10, 0x3ff));
    assert_eq!(
        (TaskId::KERNEL.0, TaskId::UNBOUND.0, MADE.0),
        (0xffff, 0x3fe, 0x3ff)
    );
    assert_eq!(Generation::default(), Generation::ZERO);
    assert_eq!(u8::from(Generation::from(9)), 9);
    plain::<TaskId>();
    equal::<TaskId>();
    plain::<Generation>();
    equal::<Generation>();
}

#[test]
fn response_codes() {
    const FIRST: u32 = FIRST_DEAD_CODE;
    const DEAD: u32 = dead_response_code(Generation::ZERO);
    const NEW: Option<Generation> = extract_new_generation(0xffff_ffff);
    let _: fn(Generation) -> u32 = dead_response_code;
    let _: fn(u32) -> Option<Generation> = extract_new_generation;
    assert_eq!((FIRST, DEAD), (0xffff_ff00, 0xffff_ff00));
    assert_eq!(NEW, Some(Generation::from(0xff)));
    let defect: u32 = DEFECT;
    assert_eq!(defect, 1);
}

#[test]
fn states_and_faults() {
    plain::<TaskState>();
    plain::<SchedState>();
    equal::<SchedState>();
    plain::<FaultInfo>();
    equal::<FaultInfo>();
    plain::<FaultSource>();
    equal::<FaultSource>();
    plain::<UsageError>();
    equal::<UsageError>();
    plain::<ReplyFaultReason>();
    equal::<ReplyFaultReason>();
    let _: fn(&TaskState, TaskId) -> bool = TaskState::can_accept_message_from;
    let _: fn(&TaskState, TaskId) -> bool = TaskState::is_sending_to;
    let _: fn(&TaskState) -> bool = TaskState::can_accept_notification;
    let _: TaskState = SchedState::InRecv(Some(TaskId(1))).into();
    assert!(matches!(
        TaskState::default(),
        TaskState::Healthy(SchedState::Stopped)
    ));
    let usage = [
        UsageError::BadSyscallNumber,
        UsageError::InvalidSlice,
        UsageError::TaskOutOfRange,
        UsageError::IllegalTask,
        UsageError::LeaseOutOfRange,
        UsageError::OffsetOutOfRange,
        UsageError::NoIrq,
        UsageError::BadKernelMessage,
        UsageError::BadReplyFaultReason,
        UsageError::NotSupervisor,
        UsageError::ReplyTooBig,
    ];
    for (number, error) in usage.into_iter().enumerate() {
        assert_eq!(error as usize, number);
    }
    let reasons = [
        ReplyFaultReason::UndefinedOperation,
        ReplyFaultReason::BadMessageSize,
        ReplyFaultReason::BadMessageContents,
        ReplyFaultReason::BadLeases,
        ReplyFaultReason::ReplyBufferTooSmall,
        ReplyFaultReason::AccessViolation,
    ];
    for (number, reason) in (0..).zip(reasons) {
        assert_eq!(ReplyFaultReason::try_from(number), Ok(reason));
    }
    let _: Result<ReplyFaultReason, ()> = ReplyFaultReason::try_from(6_u32);
    let _: [FaultInfo; 11] = [
        FaultInfo::MemoryAccess {
            address: Some(1),
            source: FaultSource::User,
        },
        FaultInfo::StackOverflow { address: 1 },
        FaultInfo::BusError {
            address: None,
            source: FaultSource::Kernel,
        },
        FaultInfo::DivideByZero,
        FaultInfo::IllegalText,
        FaultInfo::IllegalInstruction,
        FaultInfo::InvalidOperation(1),
        UsageError::NoIrq.into(),
        FaultInfo::Panic,
        FaultInfo::Injected(TaskId(1)),
        FaultInfo::FromServer(TaskId(1), ReplyFaultReason::BadLeases),
    ];
}

#[test]
fn leases() {
    assert_eq!((size_of::<ULease>(), align_of::<ULease>()), (12, 4));
    let lease = ULease {
        attributes: LeaseAttributes::READ | LeaseAttributes::WRITE,
        base_address: 1,
        length: 2,
    };
    assert_eq!(lease.attributes.bits(), 3);
    plain::<ULease>();
}

#[test]
fn interrupts_and_dumps() {
    let irq = Interrupt {
        irq: InterruptNum(3),
        owner: InterruptOwner {
            task: 1,
            notification: 2,
        },
    };
    assert!(irq.irq.is_valid() && irq.owner.is_valid());
    assert!(!InterruptNum::invalid().is_valid() && !InterruptOwner::invalid().is_valid());
    assert_eq!(
        (InterruptNum::invalid().0, InterruptOwner::invalid().task),
        (u32::MAX, u32::MAX)
    );
    let status = IrqStatus::ENABLED | IrqStatus::PENDING | IrqStatus::POSTED;
    let control = IrqControlArg::ENABLED | IrqControlArg::CLEAR_PENDING;
    assert_eq!((status.bits(), control.bits()), (7, 3));
    plain::<TaskDumpRegion>();
    let _ = TaskDumpRegion { base: 1, size: 2 };
    assert_eq!(
        [
            ReadPanicMessageError::try_from(1),
            ReadPanicMessageError::try_from(2)
        ],
        [
            Ok(ReadPanicMessageError::TaskNotPanicked),
            Ok(ReadPanicMessageError::BadPanicBuffer)
        ]
    );
    assert_eq!(Sysnum::IrqStatus as u32, 13);
    let _: Result<Sysnum, ()> = Sysnum::try_from(14_u32);
    let _: Result<Kipcnum, ()> = Kipcnum::try_from(0_u16);
}

#[test]
fn image_header() {
    let header = ImageHeader::default();
    assert_eq!(size_of::<ImageHeader>(), 80);
    let _: (u32, u32, [u32; 16], u32, u32) = (
        header.magic,
        header.total_image_len,
        header._pad,
        header.version,
        header.epoch,
    );
    assert_eq!((HEADER_MAGIC, CABOOSE_MAGIC), (0x64ce_d6ca, 0xcab0_005e));
    let _ = ImageVectors { sp: 0, entry: 0 };
}
