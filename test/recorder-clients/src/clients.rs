//! The clients, and what is checked.
//!
//! * The recorder is never faulted (module [`kernel`](crate::kernel)).
//! * Each reply has the form of the operation that its client waits for: its length, an error that
//!   exists, memory that is not written where the operation writes none.
//! * A reply is the answer to *this* call: `read_page` returns the page that it names, `flush` not
//!   before everything is durable that was accepted before it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;

use crashlog_format::FormatId;
use crashlog_format::page::Page;
use crashlog_retained::{CrashContext, CrashReason, Region};
use drv_sdhci_sim::{SimCard, Simulator};
use fault_matrix::image::{Content, Image};
use fault_matrix::setup::Setup;
use hubpack::SerializedSize;
use task_crashlog_api::{BootEnding, CrashInfo, CrashLogError, PAGE_LEN, RecorderStatus};
use userlib::{FromPrimitive, LeaseAttributes};

use crate::kernel::{Ended, LentMemory, Request, Script, World};
use crate::{normal, notifications};

/// Operations, as the interface numbers them.
#[allow(missing_docs, reason = "the names are those of the interface")]
pub mod op {
    pub const APPEND: u16 = 1;
    pub const FLUSH: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const CRASH_INFO: u16 = 4;
    pub const READ_CRASH: u16 = 5;
    pub const ERASE_CRASH: u16 = 6;
    pub const READ_PAGE: u16 = 7;
    pub const ACKNOWLEDGE_CRASH: u16 = 8;
    pub const SET_TIME: u16 = 9;
    pub const BOOT_END: u16 = 10;
}

/// The format id of the card that [`Image::formatted`] makes.
pub(crate) const FORMAT: FormatId = FormatId::new(0xF0);

/// The lent memory before the recorder writes to it.
pub(crate) const UNTOUCHED: u8 = 0xA5;

/// The one task that may erase crashes: see the build script.
pub const ERASER: usize = 3;

/// The first task that is a client.
pub const FIRST_CLIENT: usize = 2;

/// Ends a run: thrown in RECV.
struct End;

/// Leaves the recorder's code, and the run with it.
pub fn end_run() -> ! {
    resume_unwind(Box::new(End))
}

/// The supervisor's part, for scripts.
#[derive(Clone, Copy)]
pub struct Supervisor {
    region: Region<'static>,
}

impl Supervisor {
    /// The supervisor of a region.
    #[must_use]
    pub const fn of(region: Region<'static>) -> Self {
        Self { region }
    }

    /// How many starts of the recorder have not come through, this one included.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.region.trial().starts()
    }

    /// Describes a fault of `task` and tells the recorder.
    pub fn report_oops(&self, world: &World, task: u16, time: u64, place: u32) {
        if let Some(mut writer) = self.region.mailbox().write_oops(task) {
            let mut context = CrashContext::new(CrashReason::Oops, task, "client", &[8]);
            context.time = time;
            context.boot = self.region.boot();
            context.registers[14] = place;
            writer.message(&place.to_le_bytes());
            writer.stack_at(0x2000_0000, 700);
            writer.stack(&[place as u8; 700]);
            writer.finish(&context);
        }
        world.post(notifications::OOPS_MASK);
    }
}

/// What is on a card that was formatted and never used.
static FORMATTED: LazyLock<BTreeMap<u32, Vec<u32>>> =
    LazyLock::new(|| Image::formatted(Setup::BASE.blocks().into()).content);

/// A card with an empty log.
#[must_use]
pub fn formatted_card() -> SimCard {
    let mut card = Setup::BASE.card();
    for (block, words) in FORMATTED.iter() {
        card.preset(*block, words);
    }
    card
}

/// Runs the recorder with an empty card until the script ends the run. Returns what is on the card.
pub fn run(make: impl FnOnce(Supervisor) -> Box<dyn Script>) -> Content {
    run_with(formatted_card(), make).read_all()
}

/// Runs the recorder with a card until the script ends the run. Returns the card.
pub fn run_with(card: SimCard, make: impl FnOnce(Supervisor) -> Box<dyn Script>) -> Image {
    let setup = Setup::BASE;
    let sim = Simulator::new(card);
    let memory = Box::leak(Box::new(sim.buffer(Region::len_with(128) / 512)));
    let region = Region::over(memory).expect("a region is long enough");
    region.begin_boot();
    let _world = World::install(sim.clone(), make(Supervisor::of(region)));
    let Err(thrown) = catch_unwind(AssertUnwindSafe(|| normal::run(&region))) else {
        panic!("the recorder has returned");
    };
    if !thrown.is::<End>() {
        resume_unwind(thrown);
    }
    Image {
        blocks: setup.blocks().into(),
        content: sim.card().contents(),
    }
}

/// Memory that the recorder may write.
#[must_use]
pub fn to_write(length: usize) -> LentMemory {
    lent(LeaseAttributes::WRITE, vec![UNTOUCHED; length])
}

/// Memory that the recorder may read.
#[must_use]
pub fn to_read(bytes: Vec<u8>) -> LentMemory {
    lent(LeaseAttributes::READ, bytes)
}

pub(crate) fn lent(attributes: LeaseAttributes, bytes: Vec<u8>) -> LentMemory {
    LentMemory {
        attributes,
        bytes,
        beyond: 0,
    }
}

/// A request as the generated client makes it.
#[must_use]
pub fn request(operation: u16, arguments: &[u32], leases: Vec<LentMemory>) -> Request {
    Request {
        operation,
        message: arguments
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
        capacity: capacity(operation),
        leases,
        accepted_before: 0,
    }
}

/// A request to append a record.
#[must_use]
pub fn append(payload: Vec<u8>) -> Request {
    Request {
        operation: op::APPEND,
        message: vec![1, 2, 0, 0],
        capacity: 4,
        leases: vec![to_read(payload)],
        accepted_before: 0,
    }
}

/// A request to wait until everything is durable.
#[must_use]
pub fn flush() -> Request {
    request(op::FLUSH, &[], vec![])
}

/// Longest reply of an operation.
pub(crate) fn capacity(operation: u16) -> usize {
    match operation {
        op::APPEND | op::FLUSH | op::READ_CRASH | op::SET_TIME => 4,
        op::STATUS => RecorderStatus::MAX_SIZE,
        op::CRASH_INFO => CrashInfo::MAX_SIZE,
        op::BOOT_END => BootEnding::MAX_SIZE,
        _ => 0,
    }
}

/// Checks that a reply is one to this request.
///
/// # Panics
/// If it is not.
pub fn check_reply(request: &Request, ended: &Ended) {
    let Ended::Reply(code, reply) = ended else {
        return;
    };
    let word = || u32::from_le_bytes(reply.as_slice().try_into().expect("a reply of one word"));
    let written = request
        .leases
        .first()
        .filter(|lease| lease.attributes.contains(LeaseAttributes::WRITE));
    let untouched = |from: usize| {
        if let Some(lease) = written
            && let Some(rest) = lease.bytes.get(from..)
        {
            assert!(
                rest.iter().all(|byte| *byte == UNTOUCHED),
                "memory was written that {request:?} does not name"
            );
        }
    };
    if *code != 0 {
        assert!(reply.is_empty(), "{request:?}: an error with {reply:?}");
        let error = CrashLogError::from_u32(*code);
        let exists = error.is_some_and(|error| error != CrashLogError::ServerRestarted);
        assert!(exists, "{request:?}: error {code}");
        untouched(0);
        return;
    }
    match request.operation {
        op::APPEND | op::SET_TIME => {
            word();
        }
        op::FLUSH => {
            let durable = word();
            assert!(
                durable >= request.accepted_before,
                "flush returned {durable}, and {} had been accepted",
                request.accepted_before
            );
            untouched(0);
        }
        op::STATUS => {
            hubpack::deserialize::<RecorderStatus>(reply).expect("a status");
        }
        op::CRASH_INFO => {
            hubpack::deserialize::<CrashInfo>(reply).expect("a description of a crash");
        }
        op::BOOT_END => {
            hubpack::deserialize::<BootEnding>(reply).expect("how a boot ended");
        }
        op::READ_CRASH => untouched(word() as usize),
        op::ERASE_CRASH | op::ACKNOWLEDGE_CRASH => assert!(reply.is_empty()),
        op::READ_PAGE => {
            assert!(reply.is_empty());
            let bytes: &[u8; PAGE_LEN] = written
                .and_then(|lease| lease.bytes.as_slice().try_into().ok())
                .expect("a lease of one page");
            let page = Page::parse(bytes, FORMAT).expect("a page");
            let wanted = request.message.as_slice().try_into();
            let wanted = u32::from_le_bytes(wanted.expect("one argument"));
            assert_eq!(page.header.sequence(), wanted, "another page was asked for");
        }
        operation => panic!("operation {operation} has a reply"),
    }
}
