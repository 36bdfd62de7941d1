//! Who may restart, stop and fault a task, and reset the system.
//!
//! These operations of kernel IPC end what others do, so they belong to the supervisor, and to the
//! tasks that `[kernel.allowed-callers]` of `app.toml` names for each. Two tasks are out of reach
//! for those, too: the supervisor, without which nothing is restarted, and the crash recorder,
//! without which nothing is recorded.

use abi::UsageError;
use bitflags::bitflags;

/// What a task may do to others, and who may do it to this one.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Authority(u8);

bitflags! {
    impl Authority: u8 {
        /// It may restart and stop tasks.
        const REINIT_TASK = 1 << 0;
        /// It may fault tasks.
        const FAULT_TASK = 1 << 1;
        /// It may reset the system.
        const RESET = 1 << 2;
        /// Nobody but the supervisor may restart, stop or fault it.
        const SUPERVISED = 1 << 7;
    }
}

/// A task that takes part in such an operation.
#[derive(Copy, Clone, Debug)]
pub struct Party {
    /// Its index; that of the supervisor is 0.
    pub index: usize,
    /// Its row in the table that was built.
    pub authority: Authority,
}

impl Authority {
    /// Checks that a task may use an operation at all.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotSupervisor`] if not.
    pub fn check(self, operation: Self) -> Result<(), UsageError> {
        if self.contains(operation) {
            Ok(())
        } else {
            Err(UsageError::NotSupervisor)
        }
    }
}

impl Party {
    /// Checks that `self`, which may use the operation, may use it on `target`.
    ///
    /// # Errors
    ///
    /// [`UsageError::IllegalTask`] if not.
    pub fn check_target(self, target: Self) -> Result<(), UsageError> {
        let protected = target.authority.contains(Authority::SUPERVISED) && self.index != 0;
        if target.index == 0 || protected {
            Err(UsageError::IllegalTask)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All rows of the table, for a supervisor, a recorder and another task.
    fn parties() -> impl Iterator<Item = Party> {
        (0..3).flat_map(|index| {
            (0..=u8::MAX)
                .filter_map(Authority::from_bits)
                .map(move |authority| Party { index, authority })
        })
    }

    /// REQ: X7 (in part)
    #[test]
    fn supervisor_and_recorder_are_out_of_reach() {
        for caller in parties() {
            for target in parties() {
                let refused = caller.check_target(target).is_err();
                let supervised = target.authority.contains(Authority::SUPERVISED);
                let expected = target.index == 0 || supervised && caller.index != 0;
                assert_eq!(refused, expected, "{caller:?} {target:?}");
            }
        }
    }

    #[test]
    fn an_operation_needs_its_own_bit() {
        let operations = [
            Authority::REINIT_TASK,
            Authority::FAULT_TASK,
            Authority::RESET,
        ];
        for operation in operations {
            assert_eq!(operation.check(operation), Ok(()));
            let without = Authority::all() - operation;
            assert_eq!(without.check(operation), Err(UsageError::NotSupervisor));
        }
    }
}
