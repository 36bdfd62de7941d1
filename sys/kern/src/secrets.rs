//! Memory of tasks that must not leave the machine.
//!
//! A task declares it by `secret!`; the build makes a constant table of all of it. Wherever memory
//! of a task is given to the supervisor or kept for after a reset, the bytes of secrets are
//! replaced, before anything else runs. An image without secrets has no code for it.

use crate::descs::HUBRIS_SECRETS;

/// What each byte of a secret is replaced by.
pub const BLANK: u8 = b'*';

/// Are there secrets among `count` bytes at `address`?
#[cfg(feature = "dump")]
#[inline(always)]
pub(crate) fn are_in(address: u32, count: u32) -> bool {
    let end = address.saturating_add(count);
    let mut secrets = HUBRIS_SECRETS.iter();
    secrets.any(|secret| secret.base < end && address < secret.end)
}

/// Blanks the bytes of secrets in a copy of `count` bytes: `source` is where they were copied from,
/// `copy` where to.
///
/// # Safety
///
/// The copy is mapped memory that the kernel may write and that Rust does not know as borrowed.
#[inline(always)]
pub(crate) unsafe fn blank(source: u32, copy: u32, count: u32) {
    let end = source.saturating_add(count);
    for secret in &HUBRIS_SECRETS {
        let from = secret.base.max(source);
        let to = secret.end.min(end);
        if from < to {
            let first = copy.wrapping_add(from.wrapping_sub(source));
            // SAFETY: the part of the copy whose source is in the secret; the copy may be written,
            // as the caller promises.
            unsafe { (first as *mut u8).write_bytes(BLANK, to.wrapping_sub(from) as usize) };
        }
    }
}
