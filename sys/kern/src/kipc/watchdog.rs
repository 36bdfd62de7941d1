//! The supervisor says that it is well. Not in upstream.

use super::{decode, done, supervisor_only};
use crate::arch;
use crate::outcome::CallOutcome;
use crate::table::{Kernel, TaskHandle};

/// Starts the hang timer anew.
#[inline(never)]
pub(super) fn feed(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let milliseconds = decode::<u32>(kernel, caller)?;
    arch::hang_timer::start(milliseconds);
    done(kernel, caller);
    Ok(caller)
}
