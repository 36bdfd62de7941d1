//! State that the two activities of the normal path share.
//!
//! All of it is behind shared references. There is one thread, and neither activity is ever
//! interrupted by the other, so `Cell` is enough. The log ring consists of atomics, because the
//! controller reads it by DMA at the same time.

use core::cell::Cell;

use crashlog_core::deferred::DeferredCalls;
use crashlog_core::quota::Quotas;
use crashlog_retained::{LogRing, MailboxState, Region, TrialStage};
use hubris_num_tasks::NUM_TASKS;
use idol_runtime::{Leased, LenLimit, W};
use ringbuf::ringbuf_entry_root;
use task_crashlog_api::{
    CrashLogError, DeviceFailure, RecorderState, RecorderStatus, SelfTestReport, UnsavedCrash,
};
use userlib::TaskId;

use crate::config;
use crate::events::Events;
use crate::reply;
use crate::trace::Trace;

/// A caller's lease, into which the result is written.
pub type OutLease = LenLimit<Leased<W, [u8]>, 512>;

/// A call whose reply is deferred. The caller stays blocked in it, and its leases stay valid, until
/// the reply, unless it is restarted: see [`crashlog_core::deferred`].
pub struct DeferredCall {
    /// The caller.
    pub client: TaskId,
    /// What it asks for.
    pub operation: CardOperation,
}

/// An operation that needs the card, with its arguments.
// No variant is called `CrashInfo`: Humility finds the reply's type by that name, among variants
// too.
pub enum CardOperation {
    /// `flush`: the reply is due when all log records up to this sequence number are durable.
    Flush { record: u32 },
    /// `crash_info`.
    DescribeCrash { index: u32 },
    /// `read_crash`.
    ReadCrash {
        sequence: u32,
        segment: u32,
        offset: u32,
        out: OutLease,
    },
    /// `erase_crash`.
    EraseCrash { sequence: u32 },
    /// `acknowledge_crash`.
    AcknowledgeCrash { sequence: u32 },
    /// `read_page`.
    ReadPage { page: u32, out: OutLease },
}

impl CardOperation {
    /// Whether it needs a card that is written.
    pub const fn writes(&self) -> bool {
        matches!(
            self,
            Self::Flush { .. } | Self::EraseCrash { .. } | Self::AcknowledgeCrash { .. }
        )
    }
}

impl DeferredCall {
    /// Replies with an error. The call was the last that was taken.
    pub fn fail(self, recorder: &Recorder, error: CrashLogError) {
        ringbuf_entry_root!(Trace::Refused(error));
        // An error has the same encoding for each operation.
        reply::unit(recorder, &self, Err(error));
    }
}

/// What is on the card, as far as [`RecorderStatus`] reports it.
#[derive(Clone, Copy, Default)]
pub struct CardContent {
    /// Crashes that are not erased; at most the number of slots.
    pub crashes: u16,
    /// Those of them that are not acknowledged.
    pub unread: u16,
    /// Sequence number of the newest crash.
    pub newest_crash: Option<u32>,
    /// Faults that restarted one task, since the card was formatted.
    pub oopses: u32,
    /// Faults that restarted the system, since the card was formatted.
    pub panics: u32,
    /// Sequence number of the next page of the stream ring.
    pub next_page: u32,
}

/// The state of the normal path.
pub struct Recorder {
    /// The retained region.
    pub region: Region<'static>,
    /// Log records that are not durable yet.
    pub ring: LogRing<'static>,
    /// Bytes of the ring that each client holds.
    pub quotas: Quotas<NUM_TASKS>,
    /// Calls whose replies are deferred until the card has done its part.
    pub deferred: DeferredCalls<DeferredCall, NUM_TASKS>,
    /// What the session future waits for.
    pub events: Events,
    /// The oldest record that is not durable was accepted at this time or later; milliseconds since
    /// boot.
    pub oldest: Cell<Option<u64>>,
    /// What the recorder is doing.
    pub state: Cell<RecorderState>,
    /// What is on the card.
    pub content: Cell<CardContent>,
    /// Log records that clients dropped, as they reported it.
    pub lost: Cell<u32>,
    /// Pages of the stream ring that were written.
    pub pages_written: Cell<u32>,
    /// The driver's code of the last error of the card.
    pub card_error: Cell<u32>,
    /// The last failure of the card or controller.
    pub last_failure: Cell<Option<DeviceFailure>>,
    /// Sequence number of the crash that an earlier boot left and this boot wrote.
    pub late_crash: Cell<Option<u32>>,
    /// Result of the self-test.
    self_test: SelfTestReport,
}

impl Recorder {
    /// Takes over the log records that are in the region, unless starts have failed with them.
    pub fn new(region: Region<'static>, self_test: SelfTestReport) -> Self {
        let stage = region.trial().stage();
        if stage != TrialStage::All {
            region.location().invalidate();
        }
        let (ring, recovery) = if stage == TrialStage::Nothing {
            LogRing::set_aside(&region)
        } else {
            LogRing::recover(&region)
        };
        ringbuf_entry_root!(Trace::Started {
            pages: recovery.pages,
            damaged: recovery.damaged
        });
        let recorder = Self {
            region,
            oldest: Cell::new((recovery.pages > 0).then_some(0)),
            ring,
            quotas: Quotas::new(config::QUOTA),
            deferred: DeferredCalls::new(),
            events: Events::new(),
            state: Cell::new(RecorderState::Starting),
            content: Cell::new(CardContent::default()),
            lost: Cell::new(0),
            pages_written: Cell::new(0),
            card_error: Cell::new(0),
            last_failure: Cell::new(None),
            late_crash: Cell::new(None),
            self_test,
        };
        recorder.recount();
        recorder
    }

    /// Charges every client anew for its records that are in the ring.
    pub fn recount(&self) {
        self.quotas.clear();
        self.ring
            .for_each(|task, bytes| self.quotas.charge(task.into(), bytes as u32));
    }

    /// Does the ring hold records that are not durable?
    pub fn has_unwritten(&self) -> bool {
        self.ring.has_open() || self.ring.closed_pages() > 0
    }

    /// The reply of `status`.
    pub fn status(&self) -> RecorderStatus {
        let content = self.content.get();
        let offset = self.region.boot_offset();
        RecorderStatus {
            state: self.state.get(),
            boot: self.region.boot().saturating_add(offset),
            crashes: content.crashes.into(),
            newest_crash: content.newest_crash,
            oopses: content.oopses,
            panics: content.panics,
            accepted: self.ring.accepted(),
            durable: self.ring.durable(),
            lost: self.lost.get(),
            ring_used: self.quotas.total(),
            ring_size: self
                .ring
                .pages()
                .saturating_mul(crashlog_retained::page::CAPACITY as u32),
            pages_written: self.pages_written.get(),
            newest_page: content.next_page.checked_sub(1),
            last_failure: self.last_failure.get(),
            emergency_ready: self.region.location().load().is_some(),
            late_crash: self.late_crash.get(),
            unsaved: self.unsaved().map(|unsaved| UnsavedCrash {
                boot: unsaved.boot.saturating_add(offset),
                ..unsaved
            }),
            self_test: self.self_test,
            unread: content.unread.into(),
        }
    }

    /// The crash in the mailbox, if it is not on the card yet.
    fn unsaved(&self) -> Option<UnsavedCrash> {
        let mailbox = self.region.mailbox();
        if matches!(mailbox.state(), MailboxState::Empty | MailboxState::Done) {
            return None;
        }
        let context = mailbox.crash()?.context;
        Some(UnsavedCrash {
            task: context.task,
            boot: context.boot,
        })
    }
}
