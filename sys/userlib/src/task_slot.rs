//! Task slots: names for other tasks, bound when the image is built.
//!
//! A task is compiled without knowing the other tasks. It declares slots by name
//! ([`task_slot!`](crate::task_slot!)); the application's configuration binds each slot to a task,
//! and the build system writes that task's index into the finished image. It finds the slots in the
//! section `.task_slot_table`: one [`TaskSlotTableEntry`] for each, without gaps.

use crate::{Generation, TaskId, VolatileConst, sys_refresh_task_id};

/// The index of another task, filled in by the build system.
#[derive(Debug)]
#[repr(C)]
pub struct TaskSlot(VolatileConst<u16>);

impl TaskSlot {
    /// A slot before the build system has bound it.
    pub const UNBOUND: Self = Self(VolatileConst::new(TaskId::UNBOUND.0));

    /// The current id of the task. Makes one system call each time, because the task may have been
    /// restarted since the last one.
    pub fn get_task_id(&self) -> TaskId {
        let id = TaskId::for_index_and_gen(self.get_task_index().into(), Generation::ZERO);
        sys_refresh_task_id(id)
    }

    /// The index of the task.
    pub fn get_task_index(&self) -> u16 {
        self.0.get()
    }
}

/// One entry of `.task_slot_table`. The build system depends on this layout.
#[derive(Debug)]
#[repr(C, packed)]
pub struct TaskSlotTableEntry<const N: usize> {
    taskidx_address: *const u16,
    slot_name_len: usize,
    slot_name: [u8; N],
}

// SAFETY: the pointer is for the build system; nothing in the program dereferences it.
unsafe impl<const N: usize> Sync for TaskSlotTableEntry<N> {}

impl<const N: usize> TaskSlotTableEntry<N> {
    /// The entry of `slot`, whose name in the configuration is `slot_name`, N bytes long.
    pub const fn for_task_slot(slot_name: &str, slot: &'static TaskSlot) -> Self {
        let bytes = slot_name.as_bytes();
        assert!(bytes.len() == N);
        let mut name = [0; N];
        let mut i = 0;
        while i < N {
            name[i] = bytes[i];
            i += 1;
        }
        Self {
            taskidx_address: slot.0.as_ptr(),
            slot_name_len: N,
            slot_name: name,
        }
    }
}
