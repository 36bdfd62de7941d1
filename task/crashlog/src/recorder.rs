//! What the two activities of normal operation share.
//!
//! All of it is behind shared references. There is one thread, and neither activity is ever interrupted by the other, so
//! cells are enough; the log ring, which the controller reads at the same time, consists of atomics.

use core::cell::Cell;

use crashlog_core::quota::Quotas;
use crashlog_core::waiting::Waiting;
use crashlog_retained::{LogRing, MailboxState, Region};
use hubris_num_tasks::NUM_TASKS;
use idol_runtime::{Leased, LenLimit, W};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{CrashLogError, Failure, SelfTest, State, Status, Unsaved};
use userlib::TaskId;

use crate::config;
use crate::events::Events;
use crate::reply;
use crate::trace::Trace;

/// A lease that a caller wants filled.
pub type Out = LenLimit<Leased<W, [u8]>, 512>;

/// What a caller waits for.
pub struct Request {
    /// The caller.
    pub client: TaskId,
    /// What it wants.
    pub wanted: Wanted,
}

/// What can be waited for.
pub enum Wanted {
    /// Everything up to this record is durable.
    Flush { record: u32 },
    /// Description of the record with this index.
    RecordInfo { index: u32 },
    /// Bytes of a record's segment.
    ReadRecord {
        sequence: u32,
        segment: u32,
        offset: u32,
        out: Out,
    },
    /// A record is gone.
    EraseRecord { sequence: u32 },
    /// A page of the stream ring.
    ReadPage { page: u32, out: Out },
}

impl Request {
    /// Answers with an error.
    pub fn fail(self, error: CrashLogError) {
        ringbuf_entry_root!(Trace::Refused(error));
        match self.wanted {
            Wanted::Flush { .. } | Wanted::ReadRecord { .. } => {
                reply::number(self.client, Err(error))
            }
            Wanted::RecordInfo { .. } => reply::record(self.client, Err(error)),
            Wanted::EraseRecord { .. } | Wanted::ReadPage { .. } => {
                reply::unit(self.client, Err(error))
            }
        }
    }
}

/// What is known about the card's content.
#[derive(Clone, Copy, Default)]
pub struct Card {
    /// Records that are not erased.
    pub records: u32,
    /// Sequence number of the newest one.
    pub newest_record: Option<u32>,
    /// Faults that restarted one task, since the card was formatted.
    pub oopses: u32,
    /// Faults that restarted the system, since then.
    pub panics: u32,
    /// Number of the next page of the stream ring.
    pub next_page: u32,
}

/// The state of normal operation.
pub struct Recorder {
    /// The retained region.
    pub region: Region<'static>,
    /// Records that are not durable yet.
    pub ring: LogRing<'static>,
    /// Who holds how much of the ring.
    pub quotas: Quotas<NUM_TASKS>,
    /// Who waits for the card.
    pub waiting: Waiting<Request, NUM_TASKS>,
    /// What wakes the background.
    pub events: Events,
    /// When the oldest record that is not durable was accepted, at the latest; milliseconds since boot.
    pub oldest: Cell<Option<u64>>,
    /// What is being done.
    pub state: Cell<State>,
    /// What is known about the card.
    pub card: Cell<Card>,
    /// Log records that were lost, as their senders said.
    pub lost: Cell<u32>,
    /// Pages written.
    pub pages_written: Cell<u32>,
    /// The code of the card's last error.
    pub card_error: Cell<u32>,
    /// The last failure.
    pub last_failure: Cell<Option<Failure>>,
    /// The record of an earlier boot's crash that was written late.
    pub late_record: Cell<Option<u32>>,
    /// What came of the self-test.
    self_test: SelfTest,
}

impl Recorder {
    /// Takes over what is in the region.
    pub fn new(region: Region<'static>, self_test: SelfTest) -> Self {
        let (ring, recovery) = LogRing::recover(&region);
        ringbuf_entry_root!(Trace::Started {
            pages: recovery.pages,
            damaged: recovery.damaged
        });
        let recorder = Self {
            region,
            oldest: Cell::new((recovery.pages > 0).then_some(0)),
            ring,
            quotas: Quotas::new(config::QUOTA),
            waiting: Waiting::new(),
            events: Events::new(),
            state: Cell::new(State::Starting),
            card: Cell::new(Card::default()),
            lost: Cell::new(0),
            pages_written: Cell::new(0),
            card_error: Cell::new(0),
            last_failure: Cell::new(None),
            late_record: Cell::new(None),
            self_test,
        };
        recorder.recount();
        recorder
    }

    /// Charges every client for what the ring holds of it.
    pub fn recount(&self) {
        self.quotas.clear();
        self.ring
            .for_each(|task, bytes| self.quotas.charge(task.into(), bytes as u32));
    }

    /// Is there something in the ring that is not durable?
    pub fn has_unwritten(&self) -> bool {
        self.ring.has_open() || self.ring.closed_pages() > 0
    }

    /// Everything about the recorder, for a client.
    pub fn status(&self) -> Status {
        let card = self.card.get();
        let offset = self.region.boot_offset();
        Status {
            state: self.state.get(),
            boot: self.region.boot().wrapping_add(offset),
            records: card.records,
            newest_record: card.newest_record,
            oopses: card.oopses,
            panics: card.panics,
            accepted: self.ring.accepted(),
            durable: self.ring.durable(),
            lost: self.lost.get(),
            ring_used: self.quotas.total(),
            ring_size: self
                .ring
                .pages()
                .saturating_mul(crashlog_retained::page::CAPACITY as u32),
            pages_written: self.pages_written.get(),
            newest_page: card.next_page.checked_sub(1),
            last_failure: self.last_failure.get(),
            emergency_ready: self.region.location().load().is_some(),
            late_record: self.late_record.get(),
            unsaved: self.unsaved().map(|unsaved| Unsaved {
                boot: unsaved.boot.wrapping_add(offset),
                ..unsaved
            }),
            self_test: self.self_test,
        }
    }

    /// The crash in the mailbox, if it is not on the card.
    fn unsaved(&self) -> Option<Unsaved> {
        let mailbox = self.region.mailbox();
        if matches!(mailbox.state(), MailboxState::Empty | MailboxState::Done) {
            return None;
        }
        let context = mailbox.crash()?.context;
        Some(Unsaved {
            task: context.task,
            boot: context.boot,
        })
    }
}
