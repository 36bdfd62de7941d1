//! What is logged if something of before is not used: boots, or starts of this task, have ended
//! early in a row, and it is set aside ([`crashlog_retained::Trial`]); or it is damaged.

use crashlog_retained::{Level, Stream, Trial, TrialStage};
use ringbuf::ringbuf_entry_root;

use super::own_record;
use crate::config;
use crate::recorder::Recorder;
use crate::trace::Trace;

const FAULTS: &[u8] =
    b"4 boots in a row ended early: this boot does not count the faults before it";
const CRASHES: &[u8] = b"4 starts of the recorder in a row ended early: the crashes that wait in \
    retained RAM are set aside until its next start";
const PAGES: &[u8] = b"8 starts of the recorder in a row ended early: the log records that waited \
    in retained RAM are dropped; the crashes there are set aside until its next start";

const DAMAGED: &[u8] =
    b"a crash of an earlier boot, or of an earlier start of the recorder, waited in \
    retained RAM and is damaged: it is not on the card";

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

/// Logs that the crash that waited is damaged.
pub fn report_damaged_crash(recorder: &Recorder) {
    append(recorder, DAMAGED);
}

fn append(recorder: &Recorder, text: &[u8]) {
    let (stream, level) = (Stream::Fault, Level::Warn);
    let (task, length) = (config::TASK_INDEX, text.len());
    own_record::append(recorder, task, stream, level, length, text.iter());
}
