use super::registers;
use crate::TASK_REGISTERS;
use crate::testing::TestKernel;
use abi::FaultInfo;
use core::array;

/// EXC_RETURN of a task without and with floating-point registers on its stack (ARMv7-M, and
/// ARMv8-M with one security state), and of a secure task that a non-secure kernel interrupts.
const BASIC: u32 = 0xffff_fffd;
const EXTENDED: u32 = 0xffff_ffed;
const FROM_SECURE: u32 = 0xffff_fffc;

/// psr: thumb.
const THUMB: u32 = 1 << 24;

const NULL_CHECK: FaultInfo = FaultInfo::MemoryAccess {
    address: Some(4),
    source: abi::FaultSource::User,
};

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A stock kernel with one task whose stack is at 0x1000, 0x200 bytes, and psp and EXC_RETURN as
/// given. All of the stack is frames of 1, 2, ... 7 and `psr`.
fn kernel(psp: u32, exc_return: u32, psr: u32) -> TestKernel {
    let mut kernel = TestKernel::new(1);
    kernel.with_registers = false;
    let task = &mut kernel.tasks[0];
    task.fault = Some(NULL_CHECK);
    let saved = array::from_fn::<u32, 8, _>(|n| 0x40 + n as u32);
    task.entry = bytes(&saved);
    task.entry.extend(bytes(&[psp, exc_return]));
    task.entry.extend([0xee; 128]);
    let frame = bytes(&[1, 2, 3, 4, 12, 14, 0x801, psr]);
    task.memory = vec![(0x1000, frame.repeat(0x200 / frame.len()))];
    kernel
}

/// As [`kernel`] with a frame has them.
fn known(sp: u32, psr: u32) -> [u32; TASK_REGISTERS] {
    [
        1, 2, 3, 4, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 12, sp, 14, 0x801, psr,
    ]
}

fn without_frame(sp: u32) -> [u32; TASK_REGISTERS] {
    [
        0, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0, sp, 0, 0, 0,
    ]
}

#[test]
fn sp_is_what_it_was_before_the_frame_was_pushed() {
    let aligned = THUMB | 1 << 9;
    for (exc_return, psr, size) in [
        (BASIC, THUMB, 32),
        (BASIC, aligned, 36),
        (EXTENDED, THUMB, 104),
        (EXTENDED, aligned, 108),
        // ARMv8-M in the non-secure state.
        (0xffff_ffbc, THUMB, 32),
        (0xffff_ffac, aligned, 108),
    ] {
        let mut kernel = kernel(0x1080, exc_return, psr);
        assert_eq!(
            registers(&mut kernel, 0),
            Some(known(0x1080 + size, psr)),
            "{exc_return:#x} {psr:#x}"
        );
    }
}

#[test]
fn a_frame_may_be_in_two_regions_that_follow_one_another() {
    let mut kernel = kernel(0x1080, BASIC, THUMB);
    let (_, whole) = kernel.tasks[0].memory.remove(0);
    let (low, high) = whole.split_at(0x90);
    kernel.tasks[0].memory = vec![
        (0x800, vec![0; 0x20]),
        (0x1000, low.to_vec()),
        (0x1090, high.to_vec()),
    ];
    assert_eq!(registers(&mut kernel, 0), Some(known(0x10a0, THUMB)));
    // With a gap between them it is not all there.
    kernel.tasks[0].memory[2].0 = 0x1094;
    assert_eq!(registers(&mut kernel, 0), Some(without_frame(0x10a0)));
}

/// The kernel would fault the supervisor if it asked for what is not the task's memory, and so does
/// the test double.
#[test]
fn nothing_is_read_outside_of_the_tasks_memory() {
    for psp in [
        0,
        4,
        0xfe0,
        0xffc,
        0x1001,
        0x1082,
        0x11e4,
        0x11fc,
        0x1200,
        0xf000_0000,
        0xffff_fff0,
        u32::MAX,
    ] {
        let mut kernel = kernel(psp, BASIC, THUMB);
        let sp = psp.wrapping_add(32);
        assert_eq!(
            registers(&mut kernel, 0),
            Some(without_frame(sp)),
            "{psp:#x}"
        );
    }
    for psp in [0x1000, 0x11e0] {
        let found = registers(&mut kernel(psp, BASIC, THUMB), 0);
        assert_eq!(found, Some(known(psp + 32, THUMB)), "{psp:#x}");
    }
}

#[test]
fn what_is_at_psp_after_an_overflow_is_no_frame() {
    let overflow = FaultInfo::StackOverflow { address: 0x1080 };
    for fault in [overflow, FaultInfo::InvalidOperation(1 << 20)] {
        let mut kernel = kernel(0x1080, BASIC, THUMB);
        kernel.tasks[0].fault = Some(fault);
        assert_eq!(registers(&mut kernel, 0), Some(without_frame(0x10a0)));
    }
    let mut kernel = kernel(0x1080, BASIC, THUMB);
    kernel.tasks[0].fault = Some(FaultInfo::InvalidOperation(1 << 19));
    assert_eq!(registers(&mut kernel, 0), Some(known(0x10a0, THUMB)));
}

#[test]
fn a_secure_frame_of_a_non_secure_kernel_is_not_decoded() {
    let mut kernel = kernel(0x1080, FROM_SECURE, THUMB);
    assert_eq!(registers(&mut kernel, 0), Some(without_frame(0x10a0)));
}

#[test]
fn a_kernel_that_gives_out_less_has_no_registers() {
    let mut short = kernel(0x1080, BASIC, THUMB);
    short.tasks[0].entry.truncate(39);
    assert_eq!(registers(&mut short, 0), None);
    // It stops half way.
    for gives in [0, 31, 39] {
        let mut kernel = kernel(0x1080, BASIC, THUMB);
        kernel.gives = gives;
        assert_eq!(registers(&mut kernel, 0), None);
    }
}
