//! As much of the Thumb instruction set as it takes to see calls and stack use.
//!
//! Encodings: ARMv7-M Architecture Reference Manual, section A7.7, under the names given.

pub mod flow;

/// What an instruction does, as far as the stack is concerned.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Goes to this address, and may come back.
    Branch(u32),
    /// Calls what a register points at.
    CallRegister,
    /// Takes this many bytes of stack.
    Reserve(u32),
    /// Loads the low half of a register.
    LoadLow {
        /// Its number.
        register: u16,
        /// 16 bits.
        value: u32,
    },
    /// Loads the high half of a register.
    LoadHigh {
        /// Its number.
        register: u16,
        /// 16 bits.
        value: u32,
    },
    /// Nothing of interest.
    Other,
}

/// Decodes the instruction at `address` from the halfwords `first` and `second`; also says how many bytes it has.
pub fn decode(address: u32, first: u16, second: u16) -> (Effect, u32) {
    // Three prefixes begin an instruction of two halfwords (A5.1).
    if first >> 11 >= 0b11101 {
        (wide(address, first, second), 4)
    } else {
        (narrow(address, first), 2)
    }
}

fn narrow(address: u32, code: u16) -> Effect {
    let low8 = u32::from(code & 0xff);
    match code {
        // B, T2
        _ if code >> 11 == 0b11100 => Effect::Branch(relative(
            address,
            sign_extend(u32::from(code & 0x7ff) << 1, 12),
        )),
        // B, T1; conditions 14 and 15 are UDF and SVC.
        _ if code >> 12 == 0b1101 && (code >> 8) & 0xf < 14 => {
            Effect::Branch(relative(address, sign_extend(low8 << 1, 9)))
        }
        // BLX (register), and BX of anything but LR
        _ if code & 0xff87 == 0x4780 => Effect::CallRegister,
        _ if code & 0xff87 == 0x4700 && code != 0x4770 => Effect::CallRegister,
        // PUSH, T1
        _ if code & 0xfe00 == 0xb400 => Effect::Reserve(4 * (code & 0x1ff).count_ones()),
        // SUB (SP minus immediate), T1
        _ if code & 0xff80 == 0xb080 => Effect::Reserve(4 * u32::from(code & 0x7f)),
        _ => Effect::Other,
    }
}

fn wide(address: u32, first: u16, second: u16) -> Effect {
    let (high, low) = (u32::from(first), u32::from(second));
    // BL, T1, and B, T4
    if first & 0xf800 == 0xf000 && (second & 0xd000 == 0xd000 || second & 0xd000 == 0x9000) {
        let sign = high >> 10 & 1;
        let (j1, j2) = (low >> 13 & 1, low >> 11 & 1);
        let (i1, i2) = (1 ^ j1 ^ sign, 1 ^ j2 ^ sign);
        let offset = sign << 24 | i1 << 23 | i2 << 22 | (high & 0x3ff) << 12 | (low & 0x7ff) << 1;
        return Effect::Branch(relative(address, sign_extend(offset, 25)));
    }
    // B, T3; conditions 14 and 15 are other instructions.
    if first & 0xf800 == 0xf000 && second & 0xd000 == 0x8000 && high >> 6 & 0xf < 14 {
        let (sign, j1, j2) = (high >> 10 & 1, low >> 13 & 1, low >> 11 & 1);
        let offset = sign << 20 | j2 << 19 | j1 << 18 | (high & 0x3f) << 12 | (low & 0x7ff) << 1;
        return Effect::Branch(relative(address, sign_extend(offset, 21)));
    }
    // PUSH, T2, which is STMDB SP!
    if first == 0xe92d {
        return Effect::Reserve(4 * low.count_ones());
    }
    // PUSH, T3, which is STR [SP, #-4]!
    if first == 0xf84d && second & 0x0fff == 0x0d04 {
        return Effect::Reserve(4);
    }
    // VPUSH; the immediate counts words.
    if first & 0xffbf == 0xed2d && second & 0x0e00 == 0x0a00 {
        return Effect::Reserve(4 * (low & 0xff));
    }
    // SUB (SP minus immediate), T2 and T3
    if first & 0xfbff == 0xf1ad && second & 0x8f00 == 0x0d00 {
        return Effect::Reserve(expand_immediate(high >> 10 & 1, low));
    }
    if first & 0xfbff == 0xf2ad && second & 0x8f00 == 0x0d00 {
        return Effect::Reserve((high >> 10 & 1) << 11 | (low >> 12 & 7) << 8 | low & 0xff);
    }
    // MOV (immediate), T3, and MOVT
    if second & 0x8000 == 0 && (first & 0xfbf0 == 0xf240 || first & 0xfbf0 == 0xf2c0) {
        let value = (high & 0xf) << 12 | (high >> 10 & 1) << 11 | (low >> 12 & 7) << 8 | low & 0xff;
        let register = second >> 8 & 0xf;
        return if first & 0xfbf0 == 0xf240 {
            Effect::LoadLow { register, value }
        } else {
            Effect::LoadHigh { register, value }
        };
    }
    Effect::Other
}

/// Modified immediate constants (A5.3.2), for the values that a stack frame can have.
fn expand_immediate(i: u32, low: u32) -> u32 {
    let code = i << 11 | (low >> 12 & 7) << 8 | low & 0xff;
    if code >> 10 != 0 {
        return (code & 0x7f | 0x80).rotate_right(code >> 7);
    }
    let byte = code & 0xff;
    match code >> 8 & 3 {
        0 => byte,
        1 => byte << 16 | byte,
        2 => byte << 24 | byte << 8,
        _ => byte << 24 | byte << 16 | byte << 8 | byte,
    }
}

/// Branches count from the instruction's address plus 4.
fn relative(address: u32, offset: u32) -> u32 {
    address.wrapping_add(4).wrapping_add(offset)
}

fn sign_extend(value: u32, bits: u32) -> u32 {
    let shift = 32 - bits;
    ((value << shift) as i32 >> shift) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as LLVM's assembler makes them.
    #[test]
    fn decodes_what_compilers_emit() {
        let cases: [(u16, u16, Effect, u32); 19] = [
            (0xe7fe, 0, Effect::Branch(0x1000), 2),      // b .
            (0xd0fe, 0, Effect::Branch(0x1000), 2),      // beq .
            (0xe002, 0, Effect::Branch(0x1008), 2),      // b .+8
            (0xdf00, 0, Effect::Other, 2),               // svc #0
            (0x4798, 0, Effect::CallRegister, 2),        // blx r3
            (0x4770, 0, Effect::Other, 2),               // bx lr
            (0xb5f0, 0, Effect::Reserve(20), 2),         // push {r4-r7, lr}
            (0xb082, 0, Effect::Reserve(8), 2),          // sub sp, #8
            (0xb002, 0, Effect::Other, 2),               // add sp, #8
            (0xf7ff, 0xfffe, Effect::Branch(0x1000), 4), // bl .
            (0xf000, 0xf802, Effect::Branch(0x1008), 4), // bl .+8
            (0xf000, 0xb802, Effect::Branch(0x1008), 4), // b.w .+8
            (0xf43f, 0xaffe, Effect::Branch(0x1000), 4), // beq.w .
            (0xe92d, 0x4ff0, Effect::Reserve(36), 4),    // push.w {r4-r11, lr}
            (0xf84d, 0xbd04, Effect::Reserve(4), 4),     // str r11, [sp, #-4]!
            (0xed2d, 0x8b04, Effect::Reserve(16), 4),    // vpush {d8, d9}
            (0xf5ad, 0x7d00, Effect::Reserve(512), 4),   // sub.w sp, sp, #512
            (0xf2ad, 0x4d04, Effect::Reserve(1028), 4),  // subw sp, sp, #1028
            (
                0xf241,
                0x0021,
                Effect::LoadLow {
                    register: 0,
                    value: 0x1021,
                },
                4,
            ), // movw r0, #0x1021
        ];
        for (first, second, effect, size) in cases {
            assert_eq!(
                decode(0x1000, first, second),
                (effect, size),
                "{first:04x} {second:04x}"
            );
        }
        let high = Effect::LoadHigh {
            register: 0,
            value: 0x8010,
        };
        assert_eq!(decode(0, 0xf2c8, 0x0010), (high, 4)); // movt r0, #0x8010
    }
}
