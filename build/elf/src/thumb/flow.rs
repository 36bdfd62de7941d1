//! Where execution continues after an instruction, and which registers it may write
//!
//! Both answers are conservative, because proofs rest on them: an instruction that might write a
//! register counts as writing it, and one that might branch elsewhere is [`Flow::Unknown`].
//! Encodings: ARMv7-M Architecture Reference Manual, sections A5 and A7.7.

use super::{Instruction, relative, sign_extend};

/// Program counter, link register, stack pointer.
const PC: u16 = 15;
const LR: u16 = 14;
const SP: u16 = 13;

/// Where execution continues.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// At the next instruction.
    Next,
    /// At this address or, if the branch is conditional and not taken, at the next instruction.
    Branch(u32),
    /// At this address; the callee returns to the next instruction.
    Call(u32),
    /// At the address in this register; the callee returns to the next instruction.
    CallRegister(u16),
    /// At the address in this register.
    JumpRegister(u16),
    /// At an entry of the table behind this instruction. An entry has this many bytes.
    Table(u32),
    /// In the caller.
    Return,
    /// In the kernel, which returns to the next instruction.
    SystemCall,
    /// Nowhere: the instruction traps.
    Trap,
    /// At an address that the instruction does not give.
    Unknown,
}

impl Instruction {
    /// Where execution continues after it.
    pub fn flow(&self) -> Flow {
        if self.is_wide() {
            wide(self.address, self.first, self.second)
        } else {
            narrow(self.address, self.first)
        }
    }

    /// Whether it may write `register`. A call may write what its callee need not preserve (AAPCS,
    /// section 6.1.1).
    pub fn may_write(&self, register: u16) -> bool {
        let by_callee = matches!(register, 0..=3 | 12 | LR);
        match self.flow() {
            Flow::Call(_) | Flow::CallRegister(_) => return by_callee,
            // Hubris system calls return in r4 to r9; r10 and r11 count as written, to be safe.
            Flow::SystemCall => return (4..=11).contains(&register),
            _ => {}
        }
        if self.is_wide() {
            wide_may_write(self.first, self.second, register)
        } else {
            narrow_may_write(self.first, register)
        }
    }
}

fn narrow(address: u32, code: u16) -> Flow {
    match code {
        // B, T2 and T1
        _ if code >> 11 == 0b11100 => Flow::Branch(relative(
            address,
            sign_extend(u32::from(code & 0x7ff) << 1, 12),
        )),
        _ if code >> 8 == 0xdf => Flow::SystemCall,
        // UDF and BKPT
        _ if code >> 8 == 0xde || code >> 8 == 0xbe => Flow::Trap,
        _ if code >> 12 == 0b1101 => Flow::Branch(relative(
            address,
            sign_extend(u32::from(code & 0xff) << 1, 9),
        )),
        // CBZ and CBNZ, which branch forwards only
        _ if code & 0xf500 == 0xb100 => Flow::Branch(relative(
            address,
            u32::from(code >> 9 & 1) << 6 | u32::from(code >> 3 & 0x1f) << 1,
        )),
        0x4770 => Flow::Return,
        _ if code & 0xff87 == 0x4700 => Flow::JumpRegister(code >> 3 & 0xf),
        _ if code & 0xff87 == 0x4780 => Flow::CallRegister(code >> 3 & 0xf),
        // POP with the program counter
        _ if code & 0xff00 == 0xbd00 => Flow::Return,
        // MOV and ADD to the program counter
        _ if code & 0xff87 == 0x4687 => Flow::JumpRegister(code >> 3 & 0xf),
        _ if code & 0xff87 == 0x4487 => Flow::Unknown,
        _ => Flow::Next,
    }
}

fn wide(address: u32, first: u16, second: u16) -> Flow {
    let (high, low) = (u32::from(first), u32::from(second));
    if first & 0xf800 == 0xf000 && second & 0x8000 != 0 {
        // BL and B, T4: the same offset
        if second & 0xd000 == 0xd000 || second & 0xd000 == 0x9000 {
            let sign = high >> 10 & 1;
            let (i1, i2) = (1 ^ low >> 13 & 1 ^ sign, 1 ^ low >> 11 & 1 ^ sign);
            let offset =
                sign << 24 | i1 << 23 | i2 << 22 | (high & 0x3ff) << 12 | (low & 0x7ff) << 1;
            let to = relative(address, sign_extend(offset, 25));
            return if second & 0x4000 == 0 {
                Flow::Branch(to)
            } else {
                Flow::Call(to)
            };
        }
        // BLX, to another instruction set
        if second & 0xd000 == 0xc000 {
            return Flow::Unknown;
        }
        // UDF, T2
        if first & 0xfff0 == 0xf7f0 && second & 0xf000 == 0xa000 {
            return Flow::Trap;
        }
        // B, T3
        if high >> 6 & 0xf < 14 {
            let (sign, j1, j2) = (high >> 10 & 1, low >> 13 & 1, low >> 11 & 1);
            let offset =
                sign << 20 | j2 << 19 | j1 << 18 | (high & 0x3f) << 12 | (low & 0x7ff) << 1;
            return Flow::Branch(relative(address, sign_extend(offset, 21)));
        }
        // Exception return
        if first & 0xffe0 == 0xf3c0 {
            return Flow::Unknown;
        }
        return Flow::Next;
    }
    // TBB and TBH. Compilers put the table behind the instruction; another base is not followed.
    if first & 0xfff0 == 0xe8d0 && second & 0xffe0 == 0xf000 {
        return if first & 0xf == PC {
            Flow::Table(1 + u32::from(second >> 4 & 1))
        } else {
            Flow::Unknown
        };
    }
    // LDM and POP with the program counter
    if first & 0xfe50 == 0xe810 && second & 0x8000 != 0 {
        return if first & 0xf == SP {
            Flow::Return
        } else {
            Flow::Unknown
        };
    }
    // LDR to the program counter; POP of it alone has this encoding.
    if first & 0xff70 == 0xf850 && second >> 12 == PC {
        return if (first, second) == (0xf85d, 0xfb04) {
            Flow::Return
        } else {
            Flow::Unknown
        };
    }
    Flow::Next
}

fn narrow_may_write(code: u16, register: u16) -> bool {
    let low = code & 7 == register;
    let middle = code >> 8 & 7 == register;
    let listed = register < 8 && code >> register & 1 != 0;
    match code >> 11 {
        0b00000..=0b00011 => low,
        0b00101 => false,
        0b00100 | 0b00110 | 0b00111 => middle,
        0b01000 if code >> 10 == 0b010001 => (code >> 4 & 8 | code & 7) == register,
        0b01000 => low,
        0b01001 => middle,
        // Loads and stores with a register as offset
        0b01010 | 0b01011 => code >= 0x5600 && low,
        // The others: loads are the odd ones.
        0b01100..=0b10001 => code >> 11 & 1 != 0 && low,
        0b10010 => false,
        0b10011..=0b10101 => middle,
        0b10110 | 0b10111 => match code >> 8 {
            // Extensions and reversals
            0xb2 | 0xba => low,
            0xbc | 0xbd => listed || register == SP,
            0xb0 | 0xb4 | 0xb5 => register == SP,
            _ => false,
        },
        0b11000 => middle,
        0b11001 => middle || listed,
        _ => false,
    }
}

fn wide_may_write(first: u16, second: u16, register: u16) -> bool {
    let base = first & 0xf == register;
    let [top, upper, lowest] =
        [second >> 12, second >> 8 & 0xf, second & 0xf].map(|n| n == register);
    match first >> 9 & 0xf {
        // LDM and STM
        0b0100 if first & 0x40 == 0 => {
            let loaded = first & 0x10 != 0 && second >> register & 1 != 0;
            loaded || first & 0x20 != 0 && base
        }
        // LDRD, STRD, the exclusive ones
        0b0100 => {
            let plain_store = first & 0x10 == 0 && first & 0x120 != 0;
            !plain_store && (top || upper || lowest) || first & 0x20 != 0 && base
        }
        // Data processing
        0b0101 => upper,
        // Floating-point unit: moves to core registers, and loads and stores that write back the
        // base
        0b0110 | 0b0111 | 0b1110 | 0b1111 => base || top,
        0b1000..=0b1011 => upper,
        // Single loads and stores
        0b1100 => {
            let moves_on = first & 0x80 == 0 && second & 0x900 == 0x900;
            first & 0x10 != 0 && top || moves_on && base
        }
        // Multiplication and the other register forms
        _ => upper || top,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as LLVM's assembler makes them.
    #[test]
    fn says_where_execution_continues() {
        let cases: [(u16, u16, Flow); 25] = [
            (0xe7fe, 0, Flow::Branch(0x1000)),      // b .
            (0x4798, 0, Flow::CallRegister(3)),     // blx r3
            (0xf7ff, 0xfffe, Flow::Call(0x1000)),   // bl .
            (0xe002, 0, Flow::Branch(0x1008)),      // b .+8
            (0xd0fe, 0, Flow::Branch(0x1000)),      // beq .
            (0xb140, 0, Flow::Branch(0x1014)),      // cbz r0, .+20
            (0xbb50, 0, Flow::Branch(0x1058)),      // cbnz r0, .+88
            (0xdf00, 0, Flow::SystemCall),          // svc #0
            (0xdefe, 0, Flow::Trap),                // udf #254
            (0xbe00, 0, Flow::Trap),                // bkpt #0
            (0x4770, 0, Flow::Return),              // bx lr
            (0x4718, 0, Flow::JumpRegister(3)),     // bx r3
            (0x47c8, 0, Flow::CallRegister(9)),     // blx r9
            (0x46b7, 0, Flow::JumpRegister(6)),     // mov pc, r6
            (0xbdf0, 0, Flow::Return),              // pop {r4-r7, pc}
            (0xe8bd, 0x8ff0, Flow::Return),         // pop.w {r4-r11, pc}
            (0xf85d, 0xfb04, Flow::Return),         // ldr pc, [sp], #4
            (0xf8d0, 0xf000, Flow::Unknown),        // ldr.w pc, [r0]
            (0xe8df, 0xf000, Flow::Table(1)),       // tbb [pc, r0]
            (0xe8df, 0xf010, Flow::Table(2)),       // tbh [pc, r0, lsl #1]
            (0xf000, 0xf802, Flow::Call(0x1008)),   // bl .+8
            (0xf000, 0xb802, Flow::Branch(0x1008)), // b.w .+8
            (0xf43f, 0xaffe, Flow::Branch(0x1000)), // beq.w .
            (0xf3bf, 0x8f4f, Flow::Next),           // dsb sy
            (0xf04f, 0x0b07, Flow::Next),           // mov.w r11, #7
        ];
        for (first, second, expected) in cases {
            assert_eq!(
                instruction(first, second).flow(),
                expected,
                "{first:04x} {second:04x}"
            );
        }
    }

    #[test]
    fn says_which_registers_are_written() {
        // Instruction, the registers that it writes, and some that it only reads.
        let cases: [(u16, u16, &[u16], &[u16]); 16] = [
            (0x4620, 0, &[0], &[4]),                              // mov r0, r4
            (0x46a1, 0, &[9], &[4]),                              // mov r9, r4
            (0x2808, 0, &[], &[0]),                               // cmp r0, #8
            (0x6065, 0, &[], &[4, 5]),                            // str r5, [r4, #4]
            (0x6865, 0, &[5], &[4]),                              // ldr r5, [r4, #4]
            (0x9403, 0, &[], &[4]),                               // str r4, [sp, #12]
            (0x4c0f, 0, &[4], &[]),                               // ldr r4, [pc, #60]
            (0xbcf0, 0, &[4, 5, 6, 7], &[0, 1]),                  // pop {r4-r7}
            (0xf8c4, 0x9024, &[], &[4, 9]),                       // str.w r9, [r4, #36]
            (0xf844, 0x9b04, &[4], &[9]),                         // str r9, [r4], #4
            (0xf8df, 0x91c8, &[9], &[]),                          // ldr.w r9, [pc, #456]
            (0xe9cd, 0x5600, &[], &[5, 6]),                       // strd r5, r6, [sp]
            (0xe9dd, 0x5600, &[5, 6], &[4]),                      // ldrd r5, r6, [sp]
            (0xf108, 0x0908, &[9], &[8]),                         // add.w r9, r8, #8
            (0xf000, 0xf802, &[0, 1, 2, 3, 12, 14], &[4, 9, 11]), // bl
            (0xfba2, 0x4501, &[4, 5], &[2, 1]),                   // umull r4, r5, r2, r1
        ];
        for (first, second, written, read) in cases {
            for register in written {
                assert!(
                    instruction(first, second).may_write(*register),
                    "{first:04x} {second:04x} writes r{register}"
                );
            }
            for register in read {
                assert!(
                    !instruction(first, second).may_write(*register),
                    "{first:04x} {second:04x} does not write r{register}"
                );
            }
        }
    }

    fn instruction(first: u16, second: u16) -> Instruction {
        Instruction {
            address: 0x1000,
            first,
            second,
        }
    }
}
