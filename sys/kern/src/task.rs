//! An entry of the task table, and the types of its fields.
//!
//! Debuggers find [`Task`] and its fields by the names that they have in Hubris. Fields that only
//! this kernel has come last.

use crate::arch;
use crate::descs::{HUBRIS_TASK_COUNT, RegionAttributes, TaskDesc, TaskFlags};
use abi::{Generation, SchedState, TaskId, TaskState};
use kerncore::order::{self, Member, TaskSet};
use kerncore::slice::{UserSlice, covered};

/// How many members a set of tasks has at most: the tasks of this system, and one that is none (see
/// `returns`).
pub(crate) const MEMBERS: usize = HUBRIS_TASK_COUNT + 1;

/// A set over all tasks of this system.
pub type Tasks = TaskSet<{ order::words(MEMBERS) }>;

/// One entry of the task table.
#[derive(Debug)]
#[repr(C)]
pub struct Task {
    /// Registers. First, because the exception entry reaches it through the task's address.
    pub(crate) save: arch::SavedState,
    /// What the exception entry and the switch between tasks need.
    pub(crate) arch: arch::ArchState,
    /// Scheduling priority.
    pub(crate) priority: Priority,
    /// What it is doing. Changed only through [`Task::set_state`], by the methods of the kernel
    /// that keep the sets of tasks consistent with it.
    pub(crate) state: TaskState,
    /// Its timer.
    pub(crate) timer: TimerState,
    /// How often it has been restarted.
    pub(crate) generation: u32,
    /// Notifications that are posted and not yet received.
    pub(crate) notifications: u32,
    /// What the build decided about it.
    pub(crate) descriptor: &'static TaskDesc,
    /// Its id in the current generation.
    pub(crate) id: TaskId,
    /// The place of its bit in every set of tasks.
    pub(crate) member: Member,
    /// The tasks that are in InSend to it; and a member that is no task, see `returns`.
    pub(crate) senders: Tasks,
    /// What it waits for, derived from `state` and changed together with it.
    pub(crate) wait: PackedWait,
    /// The tick at which it last ran, low word; see `who_ran`.
    pub(crate) last_ran: u32,
    /// Other than 0 if it has run since `last_ran` was read; see `who_ran`.
    pub(crate) mark: u32,
}

/// What a task waits for, as one word that the fast path compares: the ids of the task and of the
/// one that is to answer.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct PackedWait(u32);

impl PackedWait {
    /// Neither of the two below.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// `client` waits for the reply of `server`.
    #[inline(always)]
    pub(crate) fn for_reply(client: TaskId, server: TaskId) -> Self {
        Self(u32::from(client.0) | u32::from(server.0) << 16)
    }

    /// `receiver` waits for a message from any task. Packed as waiting for a reply of the kernel,
    /// which no task ever does: kernel IPC is answered at once.
    #[inline(always)]
    pub(crate) fn for_message(receiver: TaskId) -> Self {
        Self::for_reply(receiver, TaskId::KERNEL)
    }

    /// The packed form of `state` of the task that `task` names.
    #[inline(always)]
    fn of(task: TaskId, state: TaskState) -> Self {
        match state {
            TaskState::Healthy(SchedState::InReply(server)) => Self::for_reply(task, server),
            TaskState::Healthy(SchedState::InRecv(None)) => Self::for_message(task),
            _ => Self::NONE,
        }
    }
}

impl Task {
    /// The task of `descriptor`, before its first start.
    pub(crate) fn new(descriptor: &'static TaskDesc, member: Member) -> Self {
        let index = usize::from(descriptor.index);
        Self {
            save: arch::SavedState::default(),
            arch: arch::ArchState::default(),
            priority: Priority(descriptor.priority),
            state: TaskState::default(),
            timer: TimerState::default(),
            generation: 0,
            notifications: 0,
            descriptor,
            id: TaskId::for_index_and_gen(index, Generation::ZERO),
            member,
            senders: Tasks::EMPTY,
            wait: PackedWait::NONE,
            last_ran: 0,
            mark: 0,
        }
    }

    /// Changes its state.
    #[inline(always)]
    pub(crate) fn set_state(&mut self, state: TaskState) {
        self.state = state;
        self.wait = PackedWait::of(self.id, state);
    }

    /// Begins the next generation: new id, nothing pending, stopped. Does not touch registers and
    /// memory.
    pub(crate) fn renew(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.id = self.id.next_generation();
        self.timer = TimerState::default();
        self.notifications = 0;
        self.set_state(TaskState::Healthy(SchedState::Stopped));
        self.senders = Tasks::EMPTY;
    }

    /// Is it runnable at boot?
    pub(crate) fn starts_at_boot(&self) -> bool {
        self.descriptor.flags.contains(TaskFlags::START_AT_BOOT)
    }

    /// May the task itself read all of `slice`, and is it plain memory?
    #[inline(always)]
    pub(crate) fn can_read<T: kerncore::slice::Element>(&self, slice: &UserSlice<T>) -> bool {
        self.owns(slice.base(), slice.end(), RegionAttributes::READ)
    }

    /// May the task itself write all of `slice`, and is it plain memory?
    #[inline(always)]
    pub(crate) fn can_write<T: kerncore::slice::Element>(&self, slice: &UserSlice<T>) -> bool {
        self.owns(slice.base(), slice.end(), RegionAttributes::WRITE)
    }

    /// Nearly everything that a task passes lies in the region of its stack and data, so that
    /// region is tried first.
    #[inline(always)]
    fn owns(&self, base: u32, end: u32, wanted: RegionAttributes) -> bool {
        self.arch.in_stack_region(base, end) || self.owns_elsewhere(base, end, wanted)
    }

    #[inline(never)]
    fn owns_elsewhere(&self, base: u32, end: u32, wanted: RegionAttributes) -> bool {
        let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
        base == end
            || covered(self.descriptor.regions, base, end, |region| {
                region.attributes.contains(wanted) && !region.attributes.intersects(unwanted)
            })
    }
}

/// Scheduling priority; 0 is the most important. Not `Ord`: whether "greater" means the number or
/// the importance would be easy to confuse.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct Priority(pub u8);

impl Priority {
    /// Is it strictly more important than `other`?
    #[inline(always)]
    pub fn is_more_important_than(self, other: Self) -> bool {
        self.0 < other.0
    }
}

/// A task's timer.
#[derive(Copy, Clone, Debug, Default)]
pub struct TimerState {
    /// Tick at which it fires, if it is set.
    pub(crate) deadline: Option<Timestamp>,
    /// Notifications that it posts.
    pub(crate) to_post: NotificationSet,
}

/// Ticks (milliseconds) since boot.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Ord, PartialOrd)]
#[repr(transparent)]
pub struct Timestamp(pub u64);

/// A set of notification bits.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[repr(transparent)]
pub struct NotificationSet(pub u32);
