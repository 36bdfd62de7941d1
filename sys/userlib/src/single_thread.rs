//! Critical sections for crates that ask for them through the `critical-section` crate.
//!
//! A task is one thread and no interrupt handler runs in it, so entering one takes no action and there is no state
//! to restore.

struct SingleThread;
::critical_section::set_impl!(SingleThread);

// SAFETY: nothing of this task runs beside its one thread, so what is inside `acquire` and `release` is never
// interrupted by other code that shares its memory.
unsafe impl ::critical_section::Impl for SingleThread {
    #[inline(always)]
    unsafe fn acquire() -> ::critical_section::RawRestoreState {}

    #[inline(always)]
    unsafe fn release((): ::critical_section::RawRestoreState) {}
}
