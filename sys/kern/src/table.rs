//! The kernel's state, and the transitions that keep it consistent.
//!
//! Three things say the same in different ways: each task's [`TaskState`], the set of runnable tasks, and for each
//! task the set of those that are in InSend to it. The sets exist so that nothing is searched on the path of a
//! message. Only the methods here change any of the three, and they change them together.

use crate::arch;
use crate::descs::{HUBRIS_TASK_COUNT, HUBRIS_TASK_TABLE_SPACE, PRIORITIES};
use crate::fail;
use crate::interrupts;
use crate::outcome::Stop;
use crate::task::{Task, Tasks};
use abi::{FaultInfo, SchedState, TaskId, TaskState, UsageError, dead_response_code};
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;
use kerncore::order::{self, Member, Rank};

/// Notification that the supervisor gets when a task faults.
const FAULT_NOTIFICATION: u32 = 1;

/// A task that exists: the address of its entry in the task table.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub(crate) struct TaskHandle(NonNull<Task>);

// SAFETY: it is an address; what is there is reached only with a `Kernel`, of which there is one at a time.
unsafe impl Sync for TaskHandle {}

/// The tasks, most important first.
static ORDER: [Rank<TaskHandle>; HUBRIS_TASK_COUNT] = {
    let sorted = order::sort(&PRIORITIES);
    let mut order = [const {
        Rank {
            task: TaskHandle::supervisor(),
            index: 0,
            equals: 0,
        }
    }; HUBRIS_TASK_COUNT];
    let mut rank = 0;
    while rank < HUBRIS_TASK_COUNT {
        let Rank { index, equals, .. } = sorted[rank];
        // SAFETY: sorting yields indices of tasks.
        let task = unsafe { TaskHandle::unchecked(index as usize) };
        order[rank] = Rank {
            task,
            index,
            equals,
        };
        rank += 1;
    }
    order
};

/// For each rank, the task if no task of its priority comes after it; see [`order::TaskSet::sole`].
static SOLE: [Option<TaskHandle>; order::entries(HUBRIS_TASK_COUNT)] = {
    let mut sole = [None; order::entries(HUBRIS_TASK_COUNT)];
    let mut rank = 0;
    while rank < HUBRIS_TASK_COUNT {
        if ORDER[rank].equals == 0 {
            sole[rank] = Some(ORDER[rank].task);
        }
        rank += 1;
    }
    sole
};

/// Where a task's bit is in every set.
pub(crate) fn member(index: u16) -> Member {
    let rank = ORDER
        .iter()
        .position(|rank| rank.index == index)
        .unwrap_or_default();
    Member::new(rank as u16)
}

impl TaskHandle {
    /// The supervisor.
    #[inline(always)]
    pub(crate) const fn supervisor() -> Self {
        const { assert!(HUBRIS_TASK_COUNT > 0) };
        // SAFETY: the table has an element 0, as just asserted.
        unsafe { Self::unchecked(0) }
    }

    /// The task with this index, if there is one.
    #[inline(always)]
    pub(crate) fn new(index: usize) -> Option<Self> {
        // SAFETY: the index is inside the table.
        (index < HUBRIS_TASK_COUNT).then(|| unsafe { Self::unchecked(index) })
    }

    /// All tasks, by index.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..HUBRIS_TASK_COUNT).filter_map(Self::new)
    }

    /// # Safety
    ///
    /// `index` is less than [`HUBRIS_TASK_COUNT`].
    #[inline(always)]
    const unsafe fn unchecked(index: usize) -> Self {
        let table = (&raw mut HUBRIS_TASK_TABLE_SPACE).cast::<Task>();
        // SAFETY: inside the table by the caller's promise, hence neither out of bounds nor null.
        unsafe { Self(NonNull::new_unchecked(table.add(index))) }
    }

    /// The handle of an entry that the processor-dependent code got from this module before.
    ///
    /// # Safety
    ///
    /// `task` points to an element of the task table.
    #[inline(always)]
    pub(crate) unsafe fn from_entry(task: NonNull<Task>) -> Self {
        Self(task)
    }

    /// Address of the entry.
    #[inline(always)]
    pub(crate) fn entry(self) -> NonNull<Task> {
        self.0
    }
}

/// What the kernel knows beside the task table.
struct Sets {
    /// The tasks in state Runnable.
    runnable: Tasks,
    /// No timer fires before this tick.
    next_deadline: u64,
}

static mut SETS: Sets = Sets {
    runnable: Tasks::EMPTY,
    next_deadline: u64::MAX,
};

/// Exclusive access to the task table and the sets.
pub(crate) struct Kernel {
    sets: NonNull<Sets>,
    /// Not `Send`: there is one at a time, on one processor.
    exclusive: PhantomData<*mut ()>,
}

impl Index<TaskHandle> for Kernel {
    type Output = Task;

    #[inline(always)]
    fn index(&self, task: TaskHandle) -> &Task {
        // SAFETY: a handle points to an element of the table, which is initialised before the first `Kernel` exists
        // (see `enter`), and `&self` keeps out whoever would change it.
        unsafe { task.0.as_ref() }
    }
}

impl IndexMut<TaskHandle> for Kernel {
    #[inline(always)]
    fn index_mut(&mut self, mut task: TaskHandle) -> &mut Task {
        // SAFETY: as for `index`; `&mut self` is the only access there is.
        unsafe { task.0.as_mut() }
    }
}

impl Kernel {
    /// Takes hold of the kernel's state.
    ///
    /// # Safety
    ///
    /// The task table is initialised, and no other `Kernel` exists until this one is gone: it is called once per kernel
    /// entry, the kernel does not interrupt itself, and the second processor is parked.
    #[inline(always)]
    pub(crate) unsafe fn enter() -> Self {
        // SAFETY: the address of a static is not null.
        let sets = unsafe { NonNull::new_unchecked(&raw mut SETS) };
        Self {
            sets,
            exclusive: PhantomData,
        }
    }

    #[inline(always)]
    fn sets(&mut self) -> &mut Sets {
        // SAFETY: points to a static that is reached only from here, and `&mut self` is exclusive.
        unsafe { self.sets.as_mut() }
    }

    /// The task that `id` names.
    ///
    /// # Errors
    ///
    /// There is no such task (a fault), or it has been restarted since (its dead code).
    #[inline(always)]
    pub(crate) fn lookup(&self, id: TaskId) -> Result<TaskHandle, Stop> {
        let task = TaskHandle::new(id.index()).ok_or(UsageError::TaskOutOfRange)?;
        let current = self[task].id;
        if current == id {
            return Ok(task);
        }
        Err(Stop::Code(dead_response_code(current.generation())))
    }

    /// Stops the running task, or another runnable one, until something happens to it.
    #[inline(always)]
    pub(crate) fn block(&mut self, task: TaskHandle, state: SchedState) {
        let member = self[task].member;
        self.sets().runnable.remove(member);
        self[task].set_state(TaskState::Healthy(state));
        if let SchedState::InSend(to) = state
            && let Some(to) = TaskHandle::new(to.index())
        {
            self[to].senders.insert(member);
        }
    }

    /// The message of the running task has been received by a task that was in RECV: the two change places.
    #[inline(always)]
    pub(crate) fn hand_over(&mut self, sender: TaskHandle, receiver: TaskHandle) {
        let (from, to) = (self[sender].member, self[receiver].member);
        let runnable = &mut self.sets().runnable;
        runnable.remove(from);
        runnable.insert(to);
        let id = self[receiver].id;
        self[sender].set_state(TaskState::Healthy(SchedState::InReply(id)));
        self[receiver].set_state(TaskState::Healthy(SchedState::Runnable));
    }

    /// A task that was in InReply has its reply.
    #[inline(always)]
    pub(crate) fn replied(&mut self, task: TaskHandle) {
        self[task].set_state(TaskState::Healthy(SchedState::Runnable));
        let member = self[task].member;
        self.sets().runnable.insert(member);
    }

    /// Makes a healthy task runnable.
    #[inline(always)]
    pub(crate) fn wake(&mut self, task: TaskHandle) {
        self.withdraw(task);
        self[task].set_state(TaskState::Healthy(SchedState::Runnable));
        let member = self[task].member;
        self.sets().runnable.insert(member);
    }

    /// Moves a task whose message has just been received from InSend to InReply.
    #[inline(always)]
    pub(crate) fn received(&mut self, sender: TaskHandle, receiver: TaskHandle) {
        let member = self[sender].member;
        let id = self[receiver].id;
        self[receiver].senders.remove(member);
        self[sender].set_state(TaskState::Healthy(SchedState::InReply(id)));
    }

    /// Takes a task out of the sets that its state has put it in.
    #[inline(always)]
    fn withdraw(&mut self, task: TaskHandle) {
        let member = self[task].member;
        match self[task].state {
            TaskState::Healthy(SchedState::Runnable) => self.sets().runnable.remove(member),
            TaskState::Healthy(SchedState::InSend(to)) => {
                if let Some(to) = TaskHandle::new(to.index()) {
                    self[to].senders.remove(member);
                }
            }
            _ => {}
        }
    }

    /// Faults a task and tells the supervisor. Returns whether that woke the supervisor.
    ///
    /// A fault of a task that is already faulted replaces the fault but not the state before it. Does not return if the
    /// task is the supervisor: without it nobody restarts anything, so the system is restarted.
    #[cold]
    #[inline(never)]
    pub(crate) fn fault(&mut self, task: TaskHandle, fault: impl Into<FaultInfo>) -> bool {
        let fault = fault.into();
        if task == TaskHandle::supervisor() {
            fail::fail_of_supervisor(&self[task], fault);
        }
        self.withdraw(task);
        let original_state = match self[task].state {
            TaskState::Healthy(state) => state,
            TaskState::Faulted { original_state, .. } => original_state,
        };
        self[task].set_state(TaskState::Faulted {
            fault,
            original_state,
        });
        self.post(TaskHandle::supervisor(), FAULT_NOTIFICATION)
    }

    /// The running task did something wrong: faults it and picks who runs instead.
    #[cold]
    #[inline(never)]
    pub(crate) fn fault_current(
        &mut self,
        current: TaskHandle,
        fault: impl Into<FaultInfo>,
    ) -> TaskHandle {
        self.fault(current, fault);
        self.pick(current)
    }

    /// Posts notification bits. Returns whether that woke the task.
    #[inline(always)]
    pub(crate) fn post(&mut self, task: TaskHandle, bits: u32) -> bool {
        self[task].notifications |= bits;
        if !self[task].state.can_accept_notification() {
            return false;
        }
        let wanted = self[task].save.notification_mask();
        if !self.take_notifications(task, wanted) {
            return false;
        }
        self.wake(task);
        true
    }

    /// Completes a RECV with those posted bits that `mask` has, if there are any.
    #[inline(always)]
    pub(crate) fn take_notifications(&mut self, task: TaskHandle, mask: u32) -> bool {
        let task = &mut self[task];
        let firing = task.notifications & mask;
        if firing == 0 {
            return false;
        }
        task.notifications &= !firing;
        task.save.set_received(TaskId::KERNEL, firing, 0, 0, 0);
        true
    }

    /// The most important runnable task; among equals, the first after `current` in table order.
    ///
    /// Does not return if there is none: a system without a runnable idle task is broken.
    #[inline(always)]
    pub(crate) fn pick(&mut self, current: TaskHandle) -> TaskHandle {
        match self.sets().runnable.sole(&SOLE) {
            Some(task) => task,
            None => self.pick_among_equals(current),
        }
    }

    #[cold]
    #[inline(never)]
    fn pick_among_equals(&mut self, current: TaskHandle) -> TaskHandle {
        let index = self[current].id.index();
        self.pick_after(index)
    }

    /// The first task to run: the most important runnable one; among equals, the first in table order.
    pub(crate) fn pick_first(&mut self) -> TaskHandle {
        self.pick_after(HUBRIS_TASK_COUNT)
    }

    /// Who runs on: `current`, unless a task that may be more important was woken.
    #[inline(always)]
    pub(crate) fn pick_if(&mut self, woken: bool, current: TaskHandle) -> TaskHandle {
        if woken { self.pick(current) } else { current }
    }

    fn pick_after(&mut self, index: usize) -> TaskHandle {
        match self.sets().runnable.pick(&ORDER, index) {
            Some(task) => task,
            None => fail::die(format_args!("no runnable task")),
        }
    }

    /// The most important task that waits to send to `receiver`; among equals, the first after it in table order.
    #[inline(always)]
    pub(crate) fn pick_sender(&self, receiver: TaskHandle) -> Option<TaskHandle> {
        let receiver = &self[receiver];
        if receiver.senders.is_empty() {
            return None;
        }
        match receiver.senders.sole(&SOLE) {
            Some(task) => Some(task),
            None => pick_sender_among_equals(receiver),
        }
    }

    /// Begins a task anew: registers, stack, timer, notifications, interrupts; not the rest of its memory.
    ///
    /// Everyone who waits for its previous life gets the dead code.
    pub(crate) fn restart(&mut self, task: TaskHandle, start: bool) {
        self.withdraw(task);
        interrupts::mask_all_of(self[task].id.index());
        let old = self[task].id;
        self[task].renew();
        arch::reinitialize(&mut self[task]);
        if start {
            self.wake(task);
        }
        let code = dead_response_code(self[task].id.generation());
        for other in TaskHandle::all().filter(|&other| other != task) {
            if let TaskState::Healthy(
                SchedState::InSend(peer)
                | SchedState::InReply(peer)
                | SchedState::InRecv(Some(peer)),
            ) = self[other].state
                && peer == old
            {
                self[other].save.set_response(code, 0);
                self.wake(other);
            }
        }
    }

    /// No timer fires before this tick.
    #[inline(always)]
    pub(crate) fn next_deadline(&mut self) -> &mut u64 {
        &mut self.sets().next_deadline
    }

    /// The name of a task.
    pub(crate) fn id(&self, task: TaskHandle) -> TaskId {
        self[task].id
    }
}

#[cold]
#[inline(never)]
fn pick_sender_among_equals(receiver: &Task) -> Option<TaskHandle> {
    receiver.senders.pick(&ORDER, receiver.id.index())
}
