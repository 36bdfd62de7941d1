//! Macros of this crate.

/// Declares a static [`TaskSlot`](crate::task_slot::TaskSlot): `task_slot!(CRASHLOG, crashlog);` or
/// `task_slot!(pub CRASHLOG, crashlog);`. The second argument is the slot's name in the task's
/// `task-slots`.
#[macro_export]
macro_rules! task_slot {
    ($visibility:vis $variable:ident, $name:ident) => {
        $visibility static $variable: $crate::task_slot::TaskSlot = $crate::task_slot::TaskSlot::UNBOUND;

        const _: () = {
            #[used]
            #[cfg_attr(target_os = "none", unsafe(link_section = ".task_slot_table"))]
            static ENTRY: $crate::task_slot::TaskSlotTableEntry<{ ::core::stringify!($name).len() }> =
                $crate::task_slot::TaskSlotTableEntry::for_task_slot(::core::stringify!($name), &$variable);
        };
    };
}
