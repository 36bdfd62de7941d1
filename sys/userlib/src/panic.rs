//! The panic handler, one of three by feature.

/// Sends a fixed text; nothing is formatted.
#[cfg(not(any(feature = "panic-messages", feature = "no-panic")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::sys_panic(b"PANIC")
}

/// Refers to a function that does not exist: a task that can reach a panic does not link.
#[cfg(feature = "no-panic")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn this_task_has_feature_no_panic_but_can_panic() -> !;
    }
    this_task_has_feature_no_panic_but_can_panic()
}

#[cfg(all(feature = "panic-messages", not(feature = "no-panic")))]
mod message {
    use crate::PANIC_MESSAGE_MAX_LEN;
    use core::cell::UnsafeCell;
    use core::fmt::{self, Write};
    use core::panic::PanicInfo;

    /// Buffer for the message; static, because the stack may be nearly full at a panic.
    struct Buffer(UnsafeCell<[u8; PANIC_MESSAGE_MAX_LEN]>);

    // SAFETY: a task is one thread, and the buffer is used by its panic handler alone.
    unsafe impl Sync for Buffer {}

    static BUFFER: Buffer = Buffer(UnsafeCell::new([0; PANIC_MESSAGE_MAX_LEN]));

    /// Keeps the first bytes and drops the rest; may end within a character.
    struct Truncating<'a> {
        free: &'a mut [u8],
    }

    impl Write for Truncating<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let free = core::mem::take(&mut self.free);
            let length = text.len().min(free.len());
            if let (Some((to, rest)), Some(from)) = (
                free.split_at_mut_checked(length),
                text.as_bytes().get(..length),
            ) {
                to.copy_from_slice(from);
                self.free = rest;
            }
            Ok(())
        }
    }

    /// Sends location and text of the panic.
    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        // SAFETY: this function never returns and the task has one thread, so it runs a second time
        // only if `write!` below panics, and then the first borrow is never used again.
        let buffer = unsafe { &mut *BUFFER.0.get() };
        let mut writer = Truncating { free: buffer };
        // `write_str` above never fails; a `Display` that does leaves what it wrote.
        let _ = write!(writer, "{info}");
        let unused = writer.free.len();
        let length = PANIC_MESSAGE_MAX_LEN.saturating_sub(unused);
        // SAFETY: as above; `writer` is not used any more.
        let buffer = unsafe { &*BUFFER.0.get() };
        crate::sys_panic(buffer.get(..length).unwrap_or(buffer))
    }
}
