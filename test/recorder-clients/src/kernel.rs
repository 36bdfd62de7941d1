//! A kernel with the recorder as its only running task. Clients are rows of a table: their
//! requests, their replies, their restarts.
//!
//! What would fault the recorder on the target is a panic here: a reply that is longer than the
//! client's buffer, an index or an offset outside of a lease table or a lease.

use crate::notifications;
use drv_sdhci_sim::Simulator;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use userlib::host::HostKernel;
use userlib::{BorrowInfo, DEFECT, Generation, LeaseAttributes, RecvMessage, TaskId, TimerState};

/// A lease of a client.
#[derive(Clone, Debug)]
pub struct LentMemory {
    /// What the recorder may do.
    pub attributes: LeaseAttributes,
    /// The content.
    pub bytes: Vec<u8>,
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
}

/// A client.
#[derive(Debug, Default)]
struct Client {
    generation: u8,
    activity: Activity,
}

/// What the clients do. Called in each RECV, before anything is delivered.
pub trait Script {
    /// One step. The requests that have ended since the last one are given.
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>);
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

    /// Restarts a client some times.
    pub fn restart(&self, task: usize, times: u32) {
        let client = &mut self.clients.borrow_mut()[task];
        client.generation = ((u32::from(client.generation) + times) % 64) as u8;
        client.activity = Activity::Idle;
    }

    /// Posts notifications to the recorder.
    pub fn post(&self, bits: u32) {
        self.posted.set(self.posted.get() | bits);
    }

    /// Notes that a record with this sequence number was accepted.
    pub fn note_accepted(&self, sequence: u32) {
        self.accepted.set(self.accepted.get().max(sequence));
    }

    fn end(&self, task: usize, client: &mut Client, how: Ended) {
        if let Activity::Waiting(request) = std::mem::take(&mut client.activity) {
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

    fn copy(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        wanted: LeaseAttributes,
        copy: impl FnOnce(&mut [u8]) -> usize,
    ) -> (u32, usize) {
        let copied = self.lease(lender, index, |lease| {
            let Some(rest) = lease.bytes.get_mut(offset..) else {
                panic!("the recorder is faulted: OffsetOutOfRange");
            };
            lease.attributes.contains(wanted).then(|| copy(rest))
        });
        copied.map_or((DEFECT, 0), |count| (0, count))
    }

    /// The notifications of `mask` that are due.
    fn take_notifications(&self, mask: u32) -> u32 {
        let now = self.sim.now_us() / 1000;
        if self.timer.get().is_some_and(|deadline| deadline <= now) {
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

impl HostKernel for World {
    fn recv(&self, buffer: &mut [u8], notification_mask: u32) -> RecvMessage {
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
        self.waiting(peer, |client| {
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
        self.waiting(peer, |client| self.end(peer.index(), client, Ended::Fault));
    }

    fn borrow_info(&self, lender: TaskId, index: usize) -> Option<BorrowInfo> {
        self.lease(lender, index, |lease| {
            Some(BorrowInfo {
                attributes: lease.attributes,
                len: lease.bytes.len(),
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
        self.copy(lender, index, offset, LeaseAttributes::READ, |lease| {
            let count = lease.len().min(dest.len());
            dest[..count].copy_from_slice(&lease[..count]);
            count
        })
    }

    fn borrow_write(
        &self,
        lender: TaskId,
        index: usize,
        offset: usize,
        src: &[u8],
    ) -> (u32, usize) {
        self.copy(lender, index, offset, LeaseAttributes::WRITE, |lease| {
            let count = lease.len().min(src.len());
            lease[..count].copy_from_slice(&src[..count]);
            count
        })
    }

    fn timer(&self) -> TimerState {
        TimerState {
            now: self.sim.now_us() / 1000,
            deadline: self.timer.get(),
            on_dl: notifications::TIMER_MASK,
        }
    }

    fn set_timer(&self, deadline: Option<u64>, _: u32) {
        self.timer.set(deadline);
    }

    fn irq_control(&self, _: u32, control: u32) {
        self.irq_enabled.set(control & 1 != 0);
    }

    fn kernel_ipc(&self, _: u16, _: &[u8], reply: &mut [u8]) -> (u32, usize) {
        // The image id is all that the recorder asks for.
        reply.fill(0x1d);
        (0, reply.len())
    }
}
