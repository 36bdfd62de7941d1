//! Numbers of the system under test: tasks, operations, errors, areas.
//!
//! Operations and errors have the numbers of Hubris' interfaces `DumpAgent` and `Jefe`.

use std::time::Duration;

/// Real time for anything that is waited for.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Task indices of `test/apps/dump-areas/app.toml`.
pub const JEFE: u8 = 0;
pub const AGENT: u8 = 1;
pub const HELD: u8 = 2;
pub const RESTARTED: u8 = 3;
pub const HIFFY: u8 = 4;
pub const TASKS: u32 = 6;

/// Operations of the agent.
pub const READ_DUMP: u8 = 1;
pub const READ_DUMP_INTO: u8 = 2;
pub const GET_DUMP_AREA: u8 = 3;
pub const INITIALIZE_DUMP: u8 = 4;
pub const ADD_DUMP_SEGMENT: u8 = 5;
pub const TAKE_DUMP: u8 = 6;
pub const DUMP_TASK: u8 = 7;
pub const DUMP_TASK_REGION: u8 = 8;
pub const REINITIALIZE_DUMP_FROM: u8 = 9;

/// Operations of the supervisor.
pub const REINITIALIZE_DUMP_AREAS: u8 = 6;
pub const JEFE_DUMP_TASK: u8 = 9;

/// Operations of the tasks that fault (`test/lib/api`).
pub const ECHO: u8 = 1;
pub const WRITE: u8 = 6;
pub const CALLED_BACK: u8 = 12;
pub const PLACES: u8 = 19;
pub const SYSTEM_CALL_AFTER: u8 = 22;
pub const SYSTEM_CALL_AT: u8 = 26;

/// `DumpAgentError`.
pub const INVALID_AREA: u32 = 2;
pub const BAD_OFFSET: u32 = 3;
pub const UNALIGNED_OFFSET: u32 = 4;
pub const UNALIGNED_ADDRESS: u32 = 5;
pub const UNALIGNED_LENGTH: u32 = 6;
pub const NOT_SUPPORTED: u32 = 8;
pub const UNCLAIMED: u32 = 10;
pub const CANNOT_CLAIM: u32 = 11;
pub const BAD_SEGMENT: u32 = 13;
pub const LEASE_WRITE_FAILED: u32 = 22;

/// Address and length of the first area, and the number of areas
/// (`test/apps/dump-areas/chip/memory.toml`).
pub const AREAS: u32 = 0x80d0_0000;
pub const AREA: u32 = 0x1000;
pub const COUNT: u8 = 6;

/// What an area holds, as the agent's replies have it.
pub const AVAILABLE: u8 = 0;
pub const SINGLE_TASK: u8 = 1;
pub const WHOLE_SYSTEM: u8 = 2;
pub const TASK_REGION: u8 = 4;
