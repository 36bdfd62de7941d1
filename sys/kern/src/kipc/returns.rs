//! Whether a task has come back to its receive, for the supervisor. Not in upstream.

use super::{decode, respond, supervisor_only, task};
use crate::outcome::CallOutcome;
use crate::table::{Kernel, TaskHandle};

/// Responds with 1 if it has since this was called last, else with 0.
#[inline(never)]
pub(super) fn take(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let target = task(decode::<u32>(kernel, caller)?)?;
    let returned = kernel[target].take_return();
    respond(kernel, caller, &u32::from(returned))
}
