//! From fault status codes to [`FaultInfo`].
//!
//! A task gets the fault that the same mistake has on ARMv7-M, as far as an ARMv7-A processor
//! distinguishes the cases:
//!
//! | cause on ARMv7-A | fault |
//! |---|---|
//! | data abort: translation, access flag, domain, permission | `MemoryAccess`, or `StackOverflow` just below the stack |
//! | data abort: alignment, and all other codes | `InvalidOperation` with the DFSR (ARMv7-M: UNALIGNED) |
//! | data abort in the private peripheral bus of an ARMv7-M, whatever the code | `BusError` |
//! | data or prefetch abort: external, also during a table walk | `BusError` |
//! | prefetch abort: translation, access flag, domain, permission | `IllegalText` |
//! | prefetch abort: debug event (BKPT), and all other codes | `InvalidOperation` with the IFSR |
//! | undefined instruction | `IllegalInstruction` |
//!
//! Division by zero does not trap on ARMv7-A; the quotient is 0.

use abi::{FaultInfo, FaultSource};

/// Bytes that one instruction may store below the stack pointer: VPUSH of sixteen double-word
/// registers.
const LARGEST_PUSH: u32 = 128;

/// An access so many bytes below a stack may be its overflow: one page.
const GUARD: u32 = 4096;

/// System control space and debug registers of an ARMv7-M, DDI 0403E B3.1: an unprivileged access
/// is a bus fault there. Nothing is mapped here for a task.
const PRIVATE_PERIPHERAL_BUS: core::ops::Range<u32> = 0xe000_0000..0xe010_0000;

/// A task's stack and stack pointer at a fault.
#[derive(Copy, Clone, Debug)]
pub struct StackPosition {
    /// Lowest address of the region the stack is in.
    pub low: u32,
    /// The task's stack pointer.
    pub pointer: u32,
}

/// Meaning of a fault status code, DDI 0406C table B3-23.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum AbortCause {
    /// The memory map does not allow it.
    Map,
    /// The bus answered with an error, at the address in the fault address register.
    External,
    /// The bus answered with an error some time ago; the address is not known.
    Asynchronous,
    /// Anything else.
    Other,
}

impl AbortCause {
    /// Decodes FS, bits 10 and 3:0 of IFSR and DFSR (short-descriptor format).
    fn of(status: u32) -> Self {
        match (status >> 6) & 0x10 | status & 0xf {
            // Translation, access flag, domain, permission; first and second level.
            0x05 | 0x07 | 0x03 | 0x06 | 0x09 | 0x0b | 0x0d | 0x0f => Self::Map,
            // Synchronous external abort and parity error, on the access and on a table walk.
            0x08 | 0x0c | 0x0e | 0x19 | 0x1c | 0x1e => Self::External,
            // Asynchronous external abort and parity error.
            0x16 | 0x18 => Self::Asynchronous,
            _ => Self::Other,
        }
    }
}

/// The fault for a data abort taken from a task.
pub fn data_abort(status: u32, address: u32, stack: StackPosition) -> FaultInfo {
    let source = FaultSource::User;
    match AbortCause::of(status) {
        AbortCause::Map if is_overflow(address, stack) => FaultInfo::StackOverflow { address },
        AbortCause::Map if PRIVATE_PERIPHERAL_BUS.contains(&address) => FaultInfo::BusError {
            address: Some(address),
            source,
        },
        AbortCause::Map => FaultInfo::MemoryAccess {
            address: Some(address),
            source,
        },
        AbortCause::External => FaultInfo::BusError {
            address: Some(address),
            source,
        },
        AbortCause::Asynchronous => FaultInfo::BusError {
            address: None,
            source,
        },
        AbortCause::Other => FaultInfo::InvalidOperation(status),
    }
}

/// The fault for a prefetch abort taken from a task.
pub fn prefetch_abort(status: u32, address: u32) -> FaultInfo {
    let source = FaultSource::User;
    match AbortCause::of(status) {
        AbortCause::Map => FaultInfo::IllegalText,
        AbortCause::External => FaultInfo::BusError {
            address: Some(address),
            source,
        },
        AbortCause::Asynchronous => FaultInfo::BusError {
            address: None,
            source,
        },
        AbortCause::Other => FaultInfo::InvalidOperation(status),
    }
}

/// Is the access an overflow of the stack? It must hit the page below the stack, and the stack
/// pointer must be there or close above; an access through another pointer into that page is not.
fn is_overflow(address: u32, stack: StackPosition) -> bool {
    let depth = stack.low.wrapping_sub(address);
    (1..=GUARD).contains(&depth) && address.saturating_add(LARGEST_PUSH) >= stack.pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: StackPosition = StackPosition {
        low: 0x8080_2000,
        pointer: 0x8080_2700,
    };

    fn access(address: u32) -> FaultInfo {
        FaultInfo::MemoryAccess {
            address: Some(address),
            source: FaultSource::User,
        }
    }

    #[test]
    fn data_aborts_as_the_machine_reports_them() {
        // Section and page, read and write (bit 11), translation and permission.
        for status in [0x005, 0x007, 0x805, 0x807, 0x00d, 0x00f, 0x80d, 0x80f] {
            assert_eq!(data_abort(status, 0x1234, STACK), access(0x1234));
        }
        let bus = |address| FaultInfo::BusError {
            address,
            source: FaultSource::User,
        };
        assert_eq!(
            data_abort(0x008, 0x4800_0000, STACK),
            bus(Some(0x4800_0000))
        );
        assert_eq!(
            data_abort(0x808, 0x4800_0000, STACK),
            bus(Some(0x4800_0000))
        );
        assert_eq!(data_abort(0x406, 0x4800_0000, STACK), bus(None));
        for address in [0xe000_0000, 0xe000_ed28, 0xe00f_ffff] {
            assert_eq!(data_abort(0x005, address, STACK), bus(Some(address)));
        }
        for address in [0xdfff_ffff, 0xe010_0000] {
            assert_eq!(data_abort(0x005, address, STACK), access(address));
        }
        assert_eq!(data_abort(0x001, 2, STACK), FaultInfo::InvalidOperation(1));
    }

    #[test]
    fn prefetch_aborts_as_the_machine_reports_them() {
        for status in [0x005, 0x007, 0x00d, 0x00f] {
            assert_eq!(prefetch_abort(status, 0), FaultInfo::IllegalText);
        }
        assert_eq!(prefetch_abort(0x002, 0), FaultInfo::InvalidOperation(2));
    }

    #[test]
    fn only_the_stack_pointer_overflows_the_stack() {
        let low = STACK.low;
        // A push of four words with the stack pointer at the very bottom.
        let at_bottom = StackPosition { low, pointer: low };
        assert_eq!(
            data_abort(0x807, low - 16, at_bottom),
            FaultInfo::StackOverflow { address: low - 16 }
        );
        // A large frame was reserved; its lowest word lies below.
        let below = StackPosition {
            low,
            pointer: low - 256,
        };
        assert_eq!(
            data_abort(0x807, low - 4, below),
            FaultInfo::StackOverflow { address: low - 4 }
        );
        // The same address through another pointer, while the stack pointer is well inside.
        assert_eq!(data_abort(0x807, low - 16, STACK), access(low - 16));
        // Too far down to be this stack.
        assert_eq!(
            data_abort(0x807, low - GUARD - 4, below),
            access(low - GUARD - 4)
        );
        // The first address inside is not below.
        assert_eq!(data_abort(0x80f, low, at_bottom), access(low));
    }
}
