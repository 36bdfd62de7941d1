//! The task's entry point, in its own words: the build script copies it from its `main.rs`.

use crashlog_retained::{MailboxState, Region, StoredContext};
use userlib::{Generation, TaskId, sys_refresh_task_id};

use crate::{config, emergency, normal, retained};

include!(concat!(env!("OUT_DIR"), "/main.rs"));

/// Starts the task.
pub fn run() -> ! {
    main()
}
