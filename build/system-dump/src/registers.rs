//! The registers of the ARMv7-A core under the numbers of an M-profile core
//!
//! Humility knows registers by the selector numbers of DCRSR (ARMv7-M Architecture Reference
//! Manual, section C1.6.3). A task runs in USR mode, so the stack pointer of that mode is PSP. All
//! other modes are the kernel's, and theirs is MSP.

use super::layout::Tasks;
use anyhow::{Context, Result};
use build_core_file::{Thread, cpsr, xpsr};

/// The registers as the monitor prints them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// r0 to r15.
    pub general: [u32; 16],
    /// Current program status.
    pub cpsr: u32,
}

/// Stack pointers of the modes that the core is not in.
#[derive(Copy, Clone, Debug)]
pub struct Hidden {
    /// The kernel's. Its stack is empty while a task runs.
    pub kernel: u32,
    /// The current task's, as saved at the last entry into the kernel.
    pub task: u32,
}

/// The mode of tasks (ARMv7-A Architecture Reference Manual, section B1.3.1).
const USER: u32 = 0x10;

impl Core {
    /// Reads what `info registers` prints: `R00=... R01=...`, and `PSR=...`.
    pub fn parse(text: &str) -> Result<Self> {
        let value = |name: &str| -> Result<u32> {
            let at = text
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .with_context(|| format!("QEMU's `info registers` shows no {name}"))?;
            u32::from_str_radix(at, 16)
                .with_context(|| format!("QEMU's `info registers` shows {name}={at}"))
        };
        let mut general = [0; 16];
        for (number, register) in general.iter_mut().enumerate() {
            *register = value(&format!("R{number:02}"))?;
        }
        Ok(Self {
            general,
            cpsr: value("PSR")?,
        })
    }

    /// Whether a task runs, and not the kernel.
    pub fn is_task(&self) -> bool {
        self.cpsr & 0x1f == USER
    }

    /// The next instruction.
    pub fn pc(&self) -> u32 {
        self.general[15]
    }

    /// The registers as a thread of gdb.
    pub fn thread(&self, number: u32) -> Thread {
        let mut registers = [0; 17];
        registers[..16].copy_from_slice(&self.general);
        registers[16] = self.cpsr;
        Thread { number, registers }
    }

    /// Number and value of each register that stock Humility writes: 0 to 18, and 20.
    pub fn numbered(&self, hidden: Hidden) -> Vec<(u32, u32)> {
        let sp = self.general[13];
        let (msp, psp) = if self.is_task() {
            (hidden.kernel, sp)
        } else {
            (sp, hidden.task)
        };
        let mut list: Vec<(u32, u32)> = (0..).zip(self.general).collect();
        list.extend([
            (16, xpsr(self.cpsr)),
            (17, msp),
            (18, psp),
            (20, self.special()),
        ]);
        list
    }

    /// CONTROL in the highest byte (unprivileged, on PSP), PRIMASK in the lowest.
    fn special(&self) -> u32 {
        if self.is_task() {
            3 << 24
        } else {
            self.cpsr >> 7 & 1
        }
    }
}

impl Tasks {
    /// Offset of the saved stack pointer in a task's structure.
    pub fn psp(&self) -> u32 {
        let [.., psp] = self.saved;
        psp
    }
}

/// Bytes of the extended exception frame (ARMv7-M Architecture Reference Manual, section B1.5.7).
const FRAME: u32 = 26 * 4;

/// r0 to r15 and CPSR of a task that does not run. The kernel has saved r4 to r11 and the stack
/// pointer in the task's structure, and the rest in an exception frame on the task's stack.
///
/// gdb takes the machine for an ARMv7-A, so the status register has the layout of CPSR.
pub fn saved(task: u32, tasks: &Tasks, word: impl Fn(u32) -> Option<u32>) -> Option<[u32; 17]> {
    let frame = word(task + tasks.psp())?;
    let pushed = |index: u32| word(frame.wrapping_add(4 * index));
    let mut registers = [0; 17];
    for (register, offset) in registers[4..12].iter_mut().zip(tasks.saved) {
        *register = word(task + offset)?;
    }
    let xpsr = pushed(7)?;
    for (register, index) in [(0, 0), (1, 1), (2, 2), (3, 3), (12, 4), (14, 5), (15, 6)] {
        registers[register] = pushed(index)?;
    }
    // Of a stack that overflowed the frame is elsewhere, and the kernel keeps the pointer.
    registers[13] = match word(task + tasks.lost_stack_pointer)? {
        // Bit 9 of xPSR: the stack was aligned by one word more.
        0 => frame.wrapping_add(FRAME + 4 * (xpsr >> 9 & 1)),
        lost => lost,
    };
    registers[16] = cpsr(xpsr);
    Some(registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "R00=00000000 R01=00000001 R02=808498f0 R03=00000005\r\n\
        R04=5f0900ae R05=deadbee0 R06=808495d4 R07=808495a8\r\n\
        R08=808496dc R09=808496d4 R10=00000000 R11=00000000\r\n\
        R12=808498e4 R13=80849590 R14=8012c117 R15=8012c116\r\n\
        PSR=60000030 -ZC- T S usr32\r\nFPSCR: 00000000\r\n";

    const HIDDEN: Hidden = Hidden {
        kernel: 0x8080_1000,
        task: 0x8084_0000,
    };

    fn number(list: &[(u32, u32)], wanted: u32) -> u32 {
        list.iter().find(|it| it.0 == wanted).expect("is there").1
    }

    #[test]
    fn a_task() {
        let core = Core::parse(TEXT).expect("whole");
        assert!(core.is_task());
        assert_eq!(core.pc(), 0x8012_c116);
        let list = core.numbered(HIDDEN);
        let numbers: Vec<u32> = list.iter().map(|it| it.0).collect();
        assert_eq!(numbers, (0..=18).chain([20]).collect::<Vec<_>>());
        assert_eq!(number(&list, 13), 0x8084_9590);
        assert_eq!(number(&list, 16), 0x6100_0000);
        assert_eq!(number(&list, 17), 0x8080_1000);
        assert_eq!(number(&list, 18), 0x8084_9590);
        assert_eq!(number(&list, 20), 0x0300_0000);
    }

    #[test]
    fn the_kernel() {
        let text = TEXT.replace("PSR=60000030", "PSR=600001b3");
        let list = Core::parse(&text).expect("whole").numbered(HIDDEN);
        assert_eq!(number(&list, 16), 0x6100_000b);
        assert_eq!(number(&list, 17), 0x8084_9590);
        assert_eq!(number(&list, 18), 0x8084_0000);
        assert_eq!(number(&list, 20), 1);
    }

    #[test]
    fn a_task_that_waits() {
        let tasks = Tasks {
            address: 0x1000,
            each: 0x100,
            count: 1,
            saved: [8, 12, 16, 20, 24, 28, 32, 36, 4],
            lost_stack_pointer: 40,
        };
        // The stack pointer; r4 to r11; the frame: r0 to r3, r12, lr, pc, xPSR with bit 9.
        let word = |address: u32| match address {
            0x1004 => Some(0x2000),
            0x1028 => Some(0),
            0x1008..0x1028 => Some(address - 0x1008),
            0x201c => Some(0x0100_0200),
            0x2000..0x201c => Some(address),
            _ => None,
        };
        let registers = saved(0x1000, &tasks, word).expect("is whole");
        assert_eq!(registers[..4], [0x2000, 0x2004, 0x2008, 0x200c]);
        assert_eq!(registers[4..12], [0, 4, 8, 12, 16, 20, 24, 28]);
        assert_eq!(
            registers[12..],
            [0x2010, 0x2000 + 26 * 4 + 4, 0x2014, 0x2018, 0x30]
        );
        assert_eq!(saved(0x3000, &tasks, word), None);
        let overflowed = |address| match address {
            0x1028 => Some(0x1ff0),
            other => word(other),
        };
        let registers = saved(0x1000, &tasks, overflowed).expect("is whole");
        assert_eq!(registers[13], 0x1ff0);
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = TEXT.replace("R13", "R_3");
        let error = Core::parse(&text).expect_err("no R13");
        assert!(error.to_string().contains("no R13"), "{error}");
    }
}
