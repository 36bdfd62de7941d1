//! When each task last ran, for the supervisor. Not in upstream.

use super::{response_buffer, supervisor_only};
use crate::outcome::CallOutcome;
use crate::table::{Kernel, TaskHandle};
use crate::umem;
use kerncore::slice::UserSlice;

/// Bytes of one task's word in the response.
const WORD: u32 = 4;

/// Responds with a word for each task, by index, as many as fit.
#[inline(never)]
pub(super) fn read(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let buffer = response_buffer(kernel, caller)?;
    let mut length = 0;
    for task in TaskHandle::all() {
        if buffer.count() < length + WORD {
            break;
        }
        let word = kernel.take_last_ran(task).to_le_bytes();
        let place = UserSlice::new(buffer.base().wrapping_add(length), WORD)?;
        umem::write(&kernel[caller], place, &word)?;
        length += WORD;
    }
    kernel[caller].save.set_response(0, length);
    Ok(caller)
}
