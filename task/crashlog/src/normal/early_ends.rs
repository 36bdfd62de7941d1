//! What is logged if boots, or starts of this task, have ended early in a row, and something of
//! before is set aside ([`crashlog_retained::Trial`]).

use crashlog_retained::page::record_len;
use crashlog_retained::{Level, LogHeader, Record, Stream, Trial, TrialStage};
use ringbuf::ringbuf_entry_root;
use userlib::sys_get_timer;

use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;

const FAULTS: &[u8] =
    b"4 boots in a row ended early: this boot does not count the faults before it";
const CRASHES: &[u8] = b"4 starts of the recorder in a row ended early: the crashes that wait in \
    retained RAM are set aside until its next start";
const PAGES: &[u8] = b"8 starts of the recorder in a row ended early: the log records that waited \
    in retained RAM are dropped; the crashes there are set aside until its next start";

const _: () = assert!(Trial::LIMIT == 4, "the texts say 4 and 8");

/// Logs and traces what is set aside. `is_first`: it is the first start of this task in this boot.
pub fn report(recorder: &Recorder, is_first: bool) {
    let trial = recorder.region.trial();
    if is_first && trial.boots() > Trial::LIMIT {
        append(recorder, FAULTS);
    }
    let stage = trial.stage();
    let text = match stage {
        TrialStage::All => return,
        TrialStage::LogOnly => CRASHES,
        TrialStage::Nothing => PAGES,
    };
    ringbuf_entry_root!(Trace::SetAside {
        pages: stage == TrialStage::Nothing
    });
    append(recorder, text);
}

/// Appends a line, unless the ring is full.
// Not inlined: the record on its stack would be in the frame of the caller.
#[inline(never)]
fn append(recorder: &Recorder, text: &[u8]) {
    let mut record = Record::new();
    let Ok(payload) = record.payload(text.len()) else {
        return;
    };
    for (to, from) in payload.iter_mut().zip(text) {
        *to = *from;
    }
    let now = sys_get_timer().now;
    let header = LogHeader {
        stream: Stream::Fault,
        level: Level::Warn,
        task: const { config::TASK_INDEX as u16 },
        lost: 0,
        time: now,
    };
    if recorder.ring.append_record(&header, &mut record).is_ok() {
        let bytes = record_len(text.len()) as u32;
        recorder.quotas.charge(config::TASK_INDEX, bytes);
        recorder.oldest.set(recorder.oldest.get().or(Some(now)));
    }
}
