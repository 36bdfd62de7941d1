//! In place of module `dump` where the feature `dump` is off: there are no areas.
//!
//! Every operation fails with `DumpAgentUnsupported`, as upstream's supervisor answers.

use task_jefe_api::{DumpAgentError, DumpArea};

/// No areas.
pub struct Dumps;

impl Dumps {
    pub fn new() -> Self {
        Self
    }

    pub fn reinitialize(&mut self) -> Result<(), DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }

    pub fn reinitialize_from(&mut self, _index: u8) -> Result<(), DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }

    pub fn area(&self, _index: u8) -> Result<DumpArea, DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }

    pub fn claim(&mut self) -> Result<DumpArea, DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }

    pub fn task(&mut self, _task: u32) -> Result<u8, DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }

    pub fn region(
        &mut self,
        _task: u32,
        _address: u32,
        _length: u32,
    ) -> Result<u8, DumpAgentError> {
        Err(DumpAgentError::DumpAgentUnsupported)
    }
}
