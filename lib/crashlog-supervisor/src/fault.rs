//! A fault as bytes: the wire encoding of the kernel's own answers.
//!
//! That of `ssmarshal`: one byte for a variant, its index in declaration order, then the fields;
//! integers are little endian, and an `Option` has a byte of its own. It is written by hand,
//! because a general serializer costs more code and more instructions, and both have a budget on
//! this path.

use abi::{FaultInfo, FaultSource};

/// Longest encoding: variant, option, address, source.
const MAX: usize = 7;

/// The encoding of a fault; no bytes if there is none.
#[derive(Copy, Clone, Debug)]
pub struct EncodedFault {
    bytes: [u8; MAX],
    length: usize,
}

impl EncodedFault {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn new(bytes: &[u8]) -> Self {
        let mut encoded = Self {
            bytes: [0; MAX],
            length: bytes.len().min(MAX),
        };
        for (to, from) in encoded.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        encoded
    }
}

impl From<Option<FaultInfo>> for EncodedFault {
    fn from(fault: Option<FaultInfo>) -> Self {
        let Some(fault) = fault else {
            return Self::new(&[]);
        };
        match fault {
            FaultInfo::MemoryAccess { address, source } => access(0, address, source),
            FaultInfo::StackOverflow { address } => word(1, address),
            FaultInfo::BusError { address, source } => access(2, address, source),
            FaultInfo::DivideByZero => Self::new(&[3]),
            FaultInfo::IllegalText => Self::new(&[4]),
            FaultInfo::IllegalInstruction => Self::new(&[5]),
            FaultInfo::InvalidOperation(status) => word(6, status),
            FaultInfo::SyscallUsage(usage) => Self::new(&[7, usage as u8]),
            FaultInfo::Panic => Self::new(&[8]),
            FaultInfo::Injected(task) => {
                let [low, high] = task.0.to_le_bytes();
                Self::new(&[9, low, high])
            }
            FaultInfo::FromServer(task, reason) => {
                let [low, high] = task.0.to_le_bytes();
                Self::new(&[10, low, high, reason as u8])
            }
        }
    }
}

fn word(variant: u8, value: u32) -> EncodedFault {
    let [a, b, c, d] = value.to_le_bytes();
    EncodedFault::new(&[variant, a, b, c, d])
}

fn access(variant: u8, address: Option<u32>, source: FaultSource) -> EncodedFault {
    let source = match source {
        FaultSource::User => 0,
        FaultSource::Kernel => 1,
    };
    match address {
        None => EncodedFault::new(&[variant, 0, source]),
        Some(address) => {
            let [a, b, c, d] = address.to_le_bytes();
            EncodedFault::new(&[variant, 1, a, b, c, d, source])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EncodedFault;
    use abi::{FaultInfo, FaultSource, ReplyFaultReason, TaskId, UsageError};

    #[test]
    fn every_fault_is_encoded_as_the_kernel_encodes_it() {
        use FaultInfo as F;
        for fault in [
            F::MemoryAccess {
                address: Some(0xdead_bee0),
                source: FaultSource::User,
            },
            F::MemoryAccess {
                address: None,
                source: FaultSource::Kernel,
            },
            F::StackOverflow {
                address: 0x8080_0ff8,
            },
            F::BusError {
                address: Some(1),
                source: FaultSource::Kernel,
            },
            F::DivideByZero,
            F::IllegalText,
            F::IllegalInstruction,
            F::InvalidOperation(0x1234_5678),
            F::SyscallUsage(UsageError::ReplyTooBig),
            F::Panic,
            F::Injected(TaskId(0x0803)),
            F::FromServer(TaskId(0x0401), ReplyFaultReason::AccessViolation),
        ] {
            let mut expected = [0; 16];
            let length = ssmarshal::serialize(&mut expected, &fault).unwrap();
            let encoded = EncodedFault::from(Some(fault));
            assert_eq!(encoded.as_bytes(), &expected[..length], "{fault:?}");
        }
        assert_eq!(EncodedFault::from(None).as_bytes(), []);
    }
}
