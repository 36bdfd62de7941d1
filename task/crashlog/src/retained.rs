//! The retained region, which the kernel maps into this task.

use crashlog_retained::Region;

use crate::config::{CRASH_ADDRESS, CRASH_SIZE, WRITE_AFTER_PAGES};

const _: () = assert!(
    CRASH_SIZE >= Region::MIN_LEN,
    "the memory output `crash` is too small"
);
const _: () = assert!(
    CRASH_ADDRESS.is_multiple_of(4),
    "the memory output `crash` is not aligned to 4 bytes"
);

// Else every page would be full before the first is written.
const _: () = assert!(
    WRITE_AFTER_PAGES as usize <= Region::pages_in(CRASH_SIZE) / 2,
    "write-after-pages is more than half of the log ring: lower it, or enlarge the memory output `crash`"
);

/// Makes the region. It may be called once.
pub fn claim() -> Region<'static> {
    // SAFETY: address and size are those of the memory output `crash`, which app.toml maps into
    // this task and the supervisor, readable and writable, for good; nothing is linked into it.
    // This function is called once, by `main`, and every other user gets a copy of its result.
    let region = unsafe { Region::claim(CRASH_ADDRESS, CRASH_SIZE) };
    match region {
        Some(region) => region,
        // It does not occur: the assertions above check address and size at compile time.
        None => userlib::sys_panic(b"retained region"),
    }
}
