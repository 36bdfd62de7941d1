//! Critical sections, as the `critical-section` crate asks for them.
//!
//! A task is one thread and no interrupt handler runs in it, so entering a critical section needs
//! no action and leaving it restores nothing.

struct SingleThread;
::critical_section::set_impl!(SingleThread);

// SAFETY: a task has one thread, so code between `acquire` and `release` is never interrupted by
// other code of the task.
unsafe impl ::critical_section::Impl for SingleThread {
    #[inline(always)]
    unsafe fn acquire() -> ::critical_section::RawRestoreState {}

    #[inline(always)]
    unsafe fn release((): ::critical_section::RawRestoreState) {}
}
