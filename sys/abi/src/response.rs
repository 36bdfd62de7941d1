//! Response codes that the kernel returns itself.
//!
//! Zero is success by convention; the server defines the meaning of all others.

use crate::Generation;

/// First of the 256 dead codes, which say that the peer was restarted: the low byte is its new
/// generation.
pub const FIRST_DEAD_CODE: u32 = 0xffff_ff00;

/// Returned by the BORROW calls when the lender is at fault: it does not wait for the caller's
/// reply, or its lease is invalid or does not allow the access.
pub const DEFECT: u32 = 1;

/// The dead code of a task that has been restarted and is now in `new_generation`.
#[inline]
pub const fn dead_response_code(new_generation: Generation) -> u32 {
    FIRST_DEAD_CODE | new_generation.bits() as u32
}

/// The peer's new generation, if `code` is a dead code.
#[inline]
pub const fn extract_new_generation(code: u32) -> Option<Generation> {
    if code & FIRST_DEAD_CODE == FIRST_DEAD_CODE {
        Some(Generation::from_bits(code as u8))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_codes_carry_the_generation() {
        let code = dead_response_code(Generation::from(7));
        assert_eq!(code, 0xffff_ff07);
        assert_eq!(extract_new_generation(code), Some(Generation::from(7)));
        assert_eq!(extract_new_generation(0xffff_feff), None);
        assert_eq!(extract_new_generation(0), None);
    }
}
