//! A kernel with the recorder as its only running task. Clients are rows of a table: their
//! requests, their replies, their restarts.
//!
//! What would fault the recorder on the target is a panic here: a reply that is longer than the
//! client's buffer, an index or an offset outside of a lease table or a lease. So is what a kernel
//! would let pass and no recorder does: a reply to a task that has never asked, and system calls
//! without an end.

use crate::{config, notifications};
use drv_sdhci_sim::Simulator;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::rc::Rc;
use userlib::host::HostKernel;
use userlib::{BorrowInfo, DEFECT, Generation, LeaseAttributes, RecvMessage, TaskId, TimerState};

/// Most system calls between two RECVs. One job of the recorder replies to every client at most,
/// and each of its waits for the controller has a RECV.
const MOST_CALLS: u32 = 32;

/// A lease of a client.
#[derive(Clone)]
pub struct LentMemory {
    /// What the recorder may do.
    pub attributes: LeaseAttributes,
    /// The content.
    pub bytes: Vec<u8>,
    /// Bytes behind the content that are lent too, and that the client does not own: an access to
    /// them faults the client.
    pub beyond: usize,
}

/// A message of a client.
#[derive(Clone, Debug)]
pub struct Request {
    /// The operation.
    pub operation: u16,
    /// The content.
    pub message: Vec<u8>,
    /// Bytes of the buffer for the reply.
    pub capacity: usize,
    /// The leases.
    pub leases: Vec<LentMemory>,
    /// The greatest sequence number that [`World::note_accepted`] was told before the recorder
    /// received the request. The kernel sets it.
    pub accepted_before: u32,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a reply: response code and content.
    Reply(u32, Vec<u8>),
    /// The client was faulted.
    Fault,
    /// The recorder was restarted before it replied.
    Dead,
}

/// What a client does.
#[derive(Debug, Default)]
enum Activity {
    #[default]
    Idle,
    /// In SEND, not received.
    Sending(Request),
    /// Received, waits for the reply.
    Waiting(Request),
    /// Faulted, until it is restarted.
    Faulted,
}

/// A client.
#[derive(Debug, Default)]
struct Client {
    generation: u8,
    activity: Activity,
    /// How often, in each generation, it was torn out of a request that the recorder had received:
    /// the recorder may still reply to those.
    torn: BTreeMap<u8, u32>,
}

impl Client {
    /// Ends what the client does. Returns the request that the recorder had received and not
    /// replied to.
    fn tear(&mut self, then: Activity) -> Option<Request> {
        match std::mem::replace(&mut self.activity, then) {
            Activity::Waiting(request) => {
                self.note_torn();
                Some(request)
            }
            Activity::Idle | Activity::Sending(_) | Activity::Faulted => None,
        }
    }

    fn note_torn(&mut self) {
        *self.torn.entry(self.generation).or_default() += 1;
    }
}

/// What the clients do. Called in each RECV, before anything is delivered.
pub trait Script {
    /// One step. The requests that have ended since the last one are given.
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>);

    /// Called before each other system call: what happens in the middle of the recorder's work.
    fn before_call(&mut self, world: &World) {
        let _ = world;
    }
}

/// The kernel's state.
pub struct World {
    sim: Simulator,
    clients: RefCell<Vec<Client>>,
    ended: RefCell<Vec<(usize, Request, Ended)>>,
    script: RefCell<Box<dyn Script>>,
    timer: Cell<Option<u64>>,
    irq_enabled: Cell<bool>,
    posted: Cell<u32>,
    /// System calls that are left until the next RECV.
    calls_left: Cell<u32>,
    /// The recorder's generation.
    generation: Cell<u8>,
    /// When the boot began, in microseconds of the simulation.
    began: Cell<u64>,
    /// The greatest sequence number that was returned to a client.
    accepted: Cell<u32>,
}

std::thread_local! {
    static SIMULATOR: RefCell<Option<Simulator>> = const { RefCell::new(None) };
}

/// The hardware of this thread.
///
/// # Panics
/// If there is none.
pub fn simulator() -> Simulator {
    let simulator = SIMULATOR.with(|cell| cell.borrow().clone());
    simulator.expect("a world is installed")
}

impl World {
    /// Makes a kernel with this hardware the one of this thread.
    pub fn install(sim: Simulator, script: Box<dyn Script>) -> Rc<Self> {
        SIMULATOR.with(|cell| *cell.borrow_mut() = Some(sim.clone()));
        let world = Rc::new(Self {
            sim,
            clients: RefCell::new((0..crate::NUM_TASKS).map(|_| Client::default()).collect()),
            ended: RefCell::default(),
            script: RefCell::new(script),
            timer: Cell::new(None),
            irq_enabled: Cell::new(false),
            posted: Cell::new(0),
            calls_left: Cell::new(MOST_CALLS),
            generation: Cell::new(0),
            began: Cell::new(0),
            accepted: Cell::new(0),
        });
        userlib::host::install(world.clone());
        world
    }

    /// Makes an idle client send.
    pub fn send(&self, task: usize, request: Request) {
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[task];
        assert!(matches!(client.activity, Activity::Idle), "it waits");
        client.activity = Activity::Sending(request);
    }

    /// Whether the client waits for nothing.
    pub fn is_idle(&self, task: usize) -> bool {
        matches!(self.clients.borrow()[task].activity, Activity::Idle)
    }

    /// Whether the recorder has received the client's request and not replied.
    pub fn is_waiting(&self, task: usize) -> bool {
        matches!(self.clients.borrow()[task].activity, Activity::Waiting(_))
    }

    /// Whether the client is faulted.
    pub fn is_faulted(&self, task: usize) -> bool {
        matches!(self.clients.borrow()[task].activity, Activity::Faulted)
    }

    /// Restarts a client some times. Returns the request that the recorder had received and not
    /// replied to.
    pub fn restart(&self, task: usize, times: u32) -> Option<Request> {
        let client = &mut self.clients.borrow_mut()[task];
        let request = client.tear(Activity::Idle);
        client.generation = ((u32::from(client.generation) + times) % 64) as u8;
        request
    }

    /// Faults a client, whatever it does. Returns as [`World::restart`].
    pub fn fault(&self, task: usize) -> Option<Request> {
        self.clients.borrow_mut()[task].tear(Activity::Faulted)
    }

    /// The recorder begins anew: its clients' calls end.
    pub fn restart_recorder(&self) {
        for (task, client) in self.clients.borrow_mut().iter_mut().enumerate() {
            client.torn.clear();
            match std::mem::take(&mut client.activity) {
                Activity::Sending(request) | Activity::Waiting(request) => {
                    self.ended.borrow_mut().push((task, request, Ended::Dead));
                }
                other => client.activity = other,
            }
        }
        self.timer.set(None);
        self.irq_enabled.set(false);
        self.posted.set(0);
        self.calls_left.set(MOST_CALLS);
        self.generation.set((self.generation.get() + 1) % 64);
    }

    /// The system begins anew. The card keeps its power.
    pub fn restart_system(&self) {
        self.restart_recorder();
        self.generation.set(0);
        self.clients.borrow_mut().fill_with(Client::default);
        self.began.set(self.sim.now_us());
        self.accepted.set(0);
    }

    /// Posts notifications to the recorder.
    pub fn post(&self, bits: u32) {
        self.posted.set(self.posted.get() | bits);
    }

    /// Notes that a record with this sequence number was accepted.
    pub fn note_accepted(&self, sequence: u32) {
        self.accepted.set(self.accepted.get().max(sequence));
    }

    /// Milliseconds since boot.
    pub fn now(&self) -> u64 {
        (self.sim.now_us() - self.began.get()) / 1000
    }

    /// Lets the time pass until the recorder's timer or its interrupt, at most so many
    /// microseconds; not at all if there is something to receive.
    pub fn sleep_us(&self, most: u64) {
        let sends = |client: &Client| matches!(client.activity, Activity::Sending(_));
        if self.clients.borrow().iter().any(sends) {
            return;
        }
        let most = self.sim.now_us() + most;
        let timer = self.timer.get().map(|timer| {
            let us = timer.saturating_mul(1000);
            us.saturating_add(self.began.get()).min(most)
        });
        let until = timer.unwrap_or(most);
        if self.irq_enabled.get() {
            self.sim.sleep_until_us(until);
        } else {
            self.sim.pass_us(until.saturating_sub(self.sim.now_us()));
        }
    }

    /// Allows more system calls before the next RECV: for the emergency path, which polls.
    pub fn allow_calls(&self, calls: u32) {
        self.calls_left.set(calls);
    }

    /// A system call other than RECV begins.
    fn begin_call(&self) {
        let left = self.calls_left.get().checked_sub(1);
        self.calls_left.set(left.expect("system calls end"));
        self.script.borrow_mut().before_call(self);
    }

    fn end(&self, task: usize, client: &mut Client, how: Ended) {
        let then = match how {
            Ended::Fault => Activity::Faulted,
            Ended::Reply(..) | Ended::Dead => Activity::Idle,
        };
        if let Activity::Waiting(request) = std::mem::replace(&mut client.activity, then) {
            self.ended.borrow_mut().push((task, request, how));
        }
    }

    /// Calls `with` with the request of the task with this id, if it waits for the recorder's
    /// reply.
    fn waiting<T>(&self, id: TaskId, with: impl FnOnce(&mut Client) -> T) -> Option<T> {
        let mut clients = self.clients.borrow_mut();
        let client = clients
            .get_mut(id.index())
            .expect("the recorder is faulted: TaskOutOfRange");
        let is_it = Generation::from(client.generation) == id.generation()
            && matches!(client.activity, Activity::Waiting(_));
        is_it.then(|| with(client))
    }

    /// Ends the call of the task with this id. If it does not wait, it must have been torn out of
    /// its call.
    fn reply_to(&self, peer: TaskId, with: impl FnOnce(&mut Client)) {
        if self.waiting(peer, with).is_some() {
            return;
        }
        let client = &mut self.clients.borrow_mut()[peer.index()];
        match client.torn.get_mut(&peer.generation().into()) {
            Some(times @ 1..) => *times -= 1,
            _ => panic!(
                "a reply to task {}, which has not asked or has one",
                peer.index()
            ),
        }
    }

    /// Calls `with` with a lease. `None`: the response code is DEFECT.
    fn lease<T>(
        &self,
        lender: TaskId,
        index: usize,
        with: impl FnOnce(&mut LentMemory) -> Option<T>,
    ) -> Option<T> {
        self.waiting(lender, |client| {
            let Activity::Waiting(request) = &mut client.activity else {
                return None;
            };
            let Some(lease) = request.leases.get_mut(index) else {
                panic!("the recorder is faulted: LeaseOutOfRange");
            };
            with(lease)
        })?
    }

    /// Copies at most `most` bytes: `copy` gets the lender's.
    fn copy(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        wanted: LeaseAttributes,
        most: usize,
        copy: impl FnOnce(&mut [u8]),
    ) -> (u32, usize) {
        let mut owned = true;
        let copied = self.lease(lender, index, |lease| {
            let Some(rest) = lease.length().checked_sub(offset) else {
                panic!("the recorder is faulted: OffsetOutOfRange");
            };
            if !lease.attributes.contains(wanted) {
                return None;
            }
            let count = rest.min(most);
            let bytes = lease.bytes.get_mut(offset..offset + count);
            owned = count == 0 || bytes.is_some();
            copy(bytes.unwrap_or_default());
            Some(count)
        });
        if !owned {
            self.waiting(lender, |client| {
                self.end(lender.index(), client, Ended::Fault);
                client.note_torn();
            });
            return (DEFECT, 0);
        }
        copied.map_or((DEFECT, 0), |count| (0, count))
    }

    /// The notifications of `mask` that are due.
    fn take_notifications(&self, mask: u32) -> u32 {
        if self
            .timer
            .get()
            .is_some_and(|deadline| deadline <= self.now())
        {
            self.timer.set(None);
            self.post(notifications::TIMER_MASK);
        }
        if self.irq_enabled.get() && self.sim.sleep_until_us(0) {
            self.irq_enabled.set(false);
            self.post(notifications::SDHCI_IRQ_MASK);
        }
        let bits = self.posted.get() & mask;
        self.posted.set(self.posted.get() & !mask);
        bits
    }

    /// The request of the most important client that sends: it waits for the reply now.
    fn receive(&self, buffer: &mut [u8]) -> Option<RecvMessage> {
        let mut clients = self.clients.borrow_mut();
        let (index, client) = clients
            .iter_mut()
            .enumerate()
            .find(|(_, client)| matches!(client.activity, Activity::Sending(_)))?;
        let Activity::Sending(mut request) = std::mem::take(&mut client.activity) else {
            return None;
        };
        request.accepted_before = self.accepted.get();
        for (to, from) in buffer.iter_mut().zip(&request.message) {
            *to = *from;
        }
        let generation = Generation::from(client.generation);
        let message = RecvMessage {
            sender: TaskId::for_index_and_gen(index, generation),
            operation: request.operation.into(),
            message_len: request.message.len(),
            response_capacity: request.capacity,
            lease_count: request.leases.len(),
        };
        client.activity = Activity::Waiting(request);
        Some(message)
    }
}

impl Debug for LentMemory {
    /// Without the content.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            attributes,
            bytes,
            beyond,
        } = self;
        write!(f, "{} + {beyond} bytes {attributes:?}", bytes.len())
    }
}

impl LentMemory {
    /// How many bytes are lent.
    fn length(&self) -> usize {
        self.bytes.len() + self.beyond
    }
}

impl HostKernel for World {
    fn recv(&self, buffer: &mut [u8], notification_mask: u32) -> RecvMessage {
        self.calls_left.set(MOST_CALLS);
        loop {
            let ended = self.ended.take();
            self.script.borrow_mut().act(self, ended);
            let bits = self.take_notifications(notification_mask);
            if bits != 0 {
                return RecvMessage {
                    sender: TaskId::KERNEL,
                    operation: bits,
                    message_len: 0,
                    response_capacity: 0,
                    lease_count: 0,
                };
            }
            if let Some(message) = self.receive(buffer) {
                return message;
            }
            // While the recorder waits for the controller, clients act before the interrupt comes.
            let us = if self.irq_enabled.get() { 10 } else { 1000 };
            self.sim.sleep_until_us(self.sim.now_us() + us);
        }
    }

    fn reply(&self, peer: TaskId, code: u32, message: &[u8]) {
        self.begin_call();
        self.reply_to(peer, |client| {
            let Activity::Waiting(request) = &client.activity else {
                return;
            };
            assert!(
                message.len() <= request.capacity,
                "the recorder is faulted: ReplyTooBig"
            );
            self.end(peer.index(), client, Ended::Reply(code, message.to_vec()));
        });
    }

    fn reply_fault(&self, peer: TaskId, _: u32) {
        self.begin_call();
        self.reply_to(peer, |client| self.end(peer.index(), client, Ended::Fault));
    }

    fn borrow_info(&self, lender: TaskId, index: usize) -> Option<BorrowInfo> {
        self.begin_call();
        self.lease(lender, index, |lease| {
            Some(BorrowInfo {
                attributes: lease.attributes,
                len: lease.length(),
            })
        })
    }

    fn borrow_read(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        dest: &mut [u8],
    ) -> (u32, usize) {
        self.begin_call();
        let read = LeaseAttributes::READ;
        self.copy(lender, index, offset, read, dest.len(), |lease| {
            for (to, from) in dest.iter_mut().zip(lease) {
                *to = *from;
            }
        })
    }

    fn borrow_write(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        src: &[u8],
    ) -> (u32, usize) {
        self.begin_call();
        let write = LeaseAttributes::WRITE;
        self.copy(lender, index, offset, write, src.len(), |lease| {
            for (to, from) in lease.iter_mut().zip(src) {
                *to = *from;
            }
        })
    }

    fn timer(&self) -> TimerState {
        self.begin_call();
        TimerState {
            now: self.now(),
            deadline: self.timer.get(),
            on_dl: notifications::TIMER_MASK,
        }
    }

    fn set_timer(&self, deadline: Option<u64>, _: u32) {
        self.begin_call();
        self.timer.set(deadline);
    }

    fn refresh_task_id(&self, id: TaskId) -> TaskId {
        self.begin_call();
        let index = id.index();
        let generation = match self.clients.borrow().get(index) {
            _ if index == config::TASK_INDEX => self.generation.get(),
            Some(client) => client.generation,
            // The slot of the supervisor, which no build has bound.
            None => 0,
        };
        TaskId::for_index_and_gen(index, Generation::from(generation))
    }

    fn irq_control(&self, _: u32, control: u32) {
        self.begin_call();
        self.irq_enabled.set(control & 1 != 0);
    }

    fn kernel_ipc(&self, _: u16, _: &[u8], reply: &mut [u8]) -> (u32, usize) {
        self.begin_call();
        // The image id is all that the recorder asks for.
        reply.fill(0x1d);
        (0, reply.len())
    }
}
