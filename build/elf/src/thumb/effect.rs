//! What an instruction does to the stack, and which addresses it loads
//!
//! Encodings: ARMv7-M Architecture Reference Manual, section A7.7, under the names given.

use super::Instruction;

/// What an instruction does, as far as a bound of the stack depends on it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Effect {
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

impl Instruction {
    /// What it does.
    pub fn effect(&self) -> Effect {
        if self.is_wide() {
            wide(self.first, self.second)
        } else {
            narrow(self.first)
        }
    }
}

fn narrow(code: u16) -> Effect {
    match code {
        // PUSH, T1
        _ if code & 0xfe00 == 0xb400 => Effect::Reserve(4 * (code & 0x1ff).count_ones()),
        // SUB (SP minus immediate), T1
        _ if code & 0xff80 == 0xb080 => Effect::Reserve(4 * u32::from(code & 0x7f)),
        _ => Effect::Other,
    }
}

fn wide(first: u16, second: u16) -> Effect {
    let (high, low) = (u32::from(first), u32::from(second));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as LLVM's assembler makes them.
    #[test]
    fn decodes_what_compilers_emit() {
        let cases = [
            (0xe7fe, 0, Effect::Other),              // b .
            (0xdf00, 0, Effect::Other),              // svc #0
            (0x4770, 0, Effect::Other),              // bx lr
            (0xb5f0, 0, Effect::Reserve(20)),        // push {r4-r7, lr}
            (0xb082, 0, Effect::Reserve(8)),         // sub sp, #8
            (0xb002, 0, Effect::Other),              // add sp, #8
            (0xf7ff, 0xfffe, Effect::Other),         // bl .
            (0xe92d, 0x4ff0, Effect::Reserve(36)),   // push.w {r4-r11, lr}
            (0xf84d, 0xbd04, Effect::Reserve(4)),    // str r11, [sp, #-4]!
            (0xed2d, 0x8b04, Effect::Reserve(16)),   // vpush {d8, d9}
            (0xf5ad, 0x7d00, Effect::Reserve(512)),  // sub.w sp, sp, #512
            (0xf2ad, 0x4d04, Effect::Reserve(1028)), // subw sp, sp, #1028
        ];
        for (first, second, effect) in cases {
            assert_eq!(
                instruction(first, second).effect(),
                effect,
                "{first:04x} {second:04x}"
            );
        }
    }

    #[test]
    fn says_which_address_is_loaded() {
        let low = Effect::LoadLow {
            register: 0,
            value: 0x1021,
        };
        assert_eq!(instruction(0xf241, 0x0021).effect(), low); // movw r0, #0x1021
        let high = Effect::LoadHigh {
            register: 0,
            value: 0x8010,
        };
        assert_eq!(instruction(0xf2c8, 0x0010).effect(), high); // movt r0, #0x8010
    }

    fn instruction(first: u16, second: u16) -> Instruction {
        Instruction {
            address: 0x1000,
            first,
            second,
        }
    }
}
