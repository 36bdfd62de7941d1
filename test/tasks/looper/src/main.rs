//! A task that fails in the same way each time, a configured time after its start.

#![no_std]
#![no_main]

use userlib::{hl, sys_panic};

task_config::task_config! {
    run_ms: u64,
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    hl::sleep_for(TASK_CONFIG.run_ms);
    sys_panic(b"as ever")
}
