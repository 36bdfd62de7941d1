//! The kernel's state, and the transitions that keep it consistent.
//!
//! Invariant: a task is in the set of runnable tasks exactly if its [`TaskState`] is Runnable, and
//! in a task's set of senders exactly if it is in InSend to that task; a set of senders may have
//! one more member, which is no task (`returns`). The sets are redundant; they exist so that a
//! message needs no search of the task table. Only the methods here change states and sets, always
//! together.

use crate::arch::{self, Received};
use crate::descs::{HUBRIS_TASK_COUNT, HUBRIS_TASK_TABLE_SPACE, PRIORITIES};
use crate::fail;
use crate::interrupts;
use crate::outcome::CallError;
use crate::syscalls::args::RecvArgs;
use crate::task::{MEMBERS, Task, Tasks};
use abi::{FaultInfo, SchedState, TaskId, TaskState, UsageError, dead_response_code};
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::ptr::NonNull;
use kerncore::order::{self, Member, Rank};

/// Notification that the supervisor gets when a task faults.
const FAULT_NOTIFICATION: u32 = 1;

/// A task: the address of its entry in the task table. Holding one proves that the entry exists.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub(crate) struct TaskHandle(NonNull<Task>);

// SAFETY: it is an address; the entry itself is reached only through a `Kernel`, of which there is
// one at a time.
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

/// For each rank, its task, unless another task of the same priority has a higher rank; see
/// [`order::TaskSet::sole`].
static SOLE: [Option<TaskHandle>; order::entries(MEMBERS)] = {
    let mut sole = [None; order::entries(MEMBERS)];
    let mut rank = 0;
    while rank < HUBRIS_TASK_COUNT {
        if ORDER[rank].equals == 0 {
            sole[rank] = Some(ORDER[rank].task);
        }
        rank += 1;
    }
    sole
};

/// The place of a task's bit in every set of tasks.
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

/// The kernel's state beside the task table.
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

/// Exclusive access to the task table and the sets: while one exists, no other code uses either.
pub(crate) struct Kernel {
    sets: NonNull<Sets>,
    /// Not `Send`: there is one at a time, on one processor.
    exclusive: PhantomData<*mut ()>,
}

impl Index<TaskHandle> for Kernel {
    type Output = Task;

    #[inline(always)]
    fn index(&self, task: TaskHandle) -> &Task {
        // SAFETY: a handle points to an element of the table, which is initialised before the first
        // `Kernel` exists (see `enter`), and nothing changes it during the borrow of `self`.
        unsafe { task.0.as_ref() }
    }
}

impl IndexMut<TaskHandle> for Kernel {
    #[inline(always)]
    fn index_mut(&mut self, mut task: TaskHandle) -> &mut Task {
        // SAFETY: as for `index`; `&mut self` is exclusive.
        unsafe { task.0.as_mut() }
    }
}

impl Kernel {
    /// Access to the kernel's state for one kernel entry.
    ///
    /// # Safety
    ///
    /// The task table is initialised, and no other `Kernel` exists until this one is gone: it is
    /// called once per kernel entry, the kernel does not interrupt itself, and the second processor
    /// is parked.
    #[inline(always)]
    pub(crate) unsafe fn enter() -> Self {
        // SAFETY: the address of a static is not null.
        let sets = unsafe { NonNull::new_unchecked(&raw mut SETS) };
        Self {
            sets,
            exclusive: PhantomData,
        }
    }

    /// The address of what it gives access to.
    #[inline(always)]
    pub(crate) fn address(&self) -> u32 {
        self.sets.addr().get() as u32
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
    /// A fault if there is no such task; the dead code if the task has been restarted since `id`
    /// was made.
    #[inline(always)]
    pub(crate) fn lookup(&self, id: TaskId) -> Result<TaskHandle, CallError> {
        let task = TaskHandle::new(id.index()).ok_or(UsageError::TaskOutOfRange)?;
        let current = self[task].id;
        if current == id {
            return Ok(task);
        }
        Err(CallError::Code(dead_response_code(current.generation())))
    }

    /// Blocks a runnable task in `state`.
    #[inline(always)]
    pub(crate) fn block(&mut self, task: TaskHandle, state: SchedState) {
        let member = self[task].member;
        self.sets().runnable.remove(member);
        self[task].set_state(TaskState::Healthy(state));
        if let SchedState::InSend(to) = state
            && let Some(to) = TaskHandle::new(to.index())
        {
            self[to].senders.insert(member);
            self[task].mark_sent();
        }
    }

    /// The running task's message has been delivered to a task in RECV: the sender waits for the
    /// reply, the receiver is runnable.
    #[inline(always)]
    pub(crate) fn hand_over(&mut self, sender: TaskHandle, receiver: TaskHandle) {
        let (from, to) = (self[sender].member, self[receiver].member);
        let runnable = &mut self.sets().runnable;
        runnable.remove(from);
        runnable.insert(to);
        let id = self[receiver].id;
        self[sender].mark_sent();
        self[sender].set_state(TaskState::Healthy(SchedState::InReply(id)));
        self[receiver].set_state(TaskState::Healthy(SchedState::Runnable));
    }

    /// Makes a task in InReply runnable.
    #[inline(always)]
    pub(crate) fn replied(&mut self, task: TaskHandle) {
        self[task].set_state(TaskState::Healthy(SchedState::Runnable));
        let member = self[task].member;
        self.sets().runnable.insert(member);
    }

    /// Makes a task runnable, whatever its state was.
    #[inline(always)]
    pub(crate) fn wake(&mut self, task: TaskHandle) {
        self.withdraw(task);
        self[task].set_state(TaskState::Healthy(SchedState::Runnable));
        let member = self[task].member;
        self.sets().runnable.insert(member);
    }

    /// Moves a task whose message has been delivered from InSend to InReply.
    #[inline(always)]
    pub(crate) fn received(&mut self, sender: TaskHandle, receiver: TaskHandle) {
        let member = self[sender].member;
        let id = self[receiver].id;
        self[receiver].senders.remove(member);
        self[sender].set_state(TaskState::Healthy(SchedState::InReply(id)));
    }

    /// Removes a task from the set that it is in because of its state. The caller changes the state
    /// next.
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

    /// Faults a task and posts the fault notification to the supervisor. Returns whether that woke
    /// the supervisor.
    ///
    /// This is where every fault becomes the supervisor's: exceptions (`arch::arm_a::entry`),
    /// system calls (`syscalls`) and kernel IPC (`kipc`) all end here. What a fault means, and what
    /// is restarted, the supervisor decides (`task/jefe`).
    ///
    /// A second fault of a faulted task replaces the first one, but not `original_state`. Does not
    /// return if the task is the supervisor: no other task can restart anything, so the system is
    /// restarted.
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

    /// Faults the running task and picks the task to run instead.
    #[cold]
    #[inline(never)]
    pub(crate) fn fault_current(
        &mut self,
        current: TaskHandle,
        fault: impl Into<FaultInfo>,
    ) -> TaskHandle {
        self.fault(current, fault);
        self.pick_next(current)
    }

    /// Posts notification bits. Returns whether that woke the task.
    #[inline(always)]
    pub(crate) fn post(&mut self, task: TaskHandle, bits: u32) -> bool {
        self[task].notifications |= bits;
        if !self[task].state.can_accept_notification() {
            return false;
        }
        let wanted = RecvArgs::of(&self[task]).notifications;
        if !self.take_notifications(task, wanted) {
            return false;
        }
        self.wake(task);
        true
    }

    /// Completes a RECV with the posted bits that are in `mask`. Returns `false`, and does nothing,
    /// if there are none.
    #[inline(always)]
    pub(crate) fn take_notifications(&mut self, task: TaskHandle, mask: u32) -> bool {
        let task = &mut self[task];
        let firing = task.notifications & mask;
        if firing == 0 {
            return false;
        }
        task.notifications &= !firing;
        task.save.set_received(Received {
            sender: TaskId::KERNEL,
            operation: firing,
            message_len: 0,
            reply_capacity: 0,
            lease_count: 0,
        });
        true
    }

    /// The most important runnable task; among equals, the first after `current` in table order.
    ///
    /// Having none is a kernel failure: the idle task is always runnable in a correct system.
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

    /// The first task to run: the most important runnable one; among equals, the first in table
    /// order.
    pub(crate) fn pick_first(&mut self) -> TaskHandle {
        self.pick_after(HUBRIS_TASK_COUNT)
    }

    /// The task that runs next: `current`, unless a task was woken that may be more important.
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

    /// The most important task that waits to send to `receiver`; among equals, the first after it
    /// in table order.
    #[inline(always)]
    pub(crate) fn pick_sender(&mut self, receiver: TaskHandle) -> Option<TaskHandle> {
        let receiver = &mut self[receiver];
        if receiver.senders.is_empty() {
            return None;
        }
        match receiver.senders.sole(&SOLE) {
            Some(task) => Some(task),
            None => pick_sender_among_equals(receiver),
        }
    }

    /// Puts a task back to its entry point, in its next generation: registers, stack, timer,
    /// notifications, interrupts. The rest of its memory stays; the task's own start code
    /// initialises it. Of its unused stack what lies below `kept_below` stays, too.
    ///
    /// Every task that waits for the previous generation gets the dead code.
    pub(crate) fn restart(&mut self, task: TaskHandle, start: bool, kept_below: u32) {
        self.withdraw(task);
        interrupts::disable_all_of(self[task].id.index());
        let old = self[task].id;
        self[task].renew();
        arch::reinitialize(&mut self[task], kept_below);
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

    /// The current id of a task.
    pub(crate) fn id(&self, task: TaskHandle) -> TaskId {
        self[task].id
    }
}

#[cold]
#[inline(never)]
fn pick_sender_among_equals(receiver: &mut Task) -> Option<TaskHandle> {
    receiver.set_returned();
    receiver.senders.pick(&ORDER, receiver.id.index())
}
