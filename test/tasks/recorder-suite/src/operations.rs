//! What the operations guarantee.

use crate::{Case, Wrong, expect};
use task_crashlog_api::{
    BootEnding, CrashLog, CrashLogError, Level, PAGE_LEN, RECORD_MAX, RecorderState, Stream,
};
use userlib::{hl, sys_get_timer};

pub const CASES: &[Case] = &[
    ("recorder: append numbers its records", numbers),
    ("recorder: records of every length are accepted", lengths),
    ("recorder: flush makes durable", flush),
    ("recorder: flush of nothing answers at once", flush_nothing),
    ("recorder: a durable record can be read back", read_back),
    ("recorder: pages that are not there", no_such_page),
    ("recorder: crash records that are not there", no_such_crash),
    ("recorder: a client's share is bounded", quota),
    ("recorder: the time of day is a record", time_of_day),
    ("recorder: how the boots before ended", boot_ends),
    ("recorder: nothing waits for the card", never_waits),
    ("recorder: an idle card is suspended and resumes", suspend),
];

fn append(recorder: &CrashLog, data: &[u8]) -> Result<u32, CrashLogError> {
    recorder.append(Stream::Event, Level::Info, 0, data)
}

/// The recorder's state.
fn state(recorder: &CrashLog) -> Option<RecorderState> {
    recorder.status().ok().map(|status| status.state)
}

/// Waits until the card is suspended.
fn suspended(recorder: &CrashLog) -> bool {
    (0..200).any(|_| {
        hl::sleep_for(10);
        state(recorder) == Some(RecorderState::Suspended)
    })
}

/// REQ: K4 (suspend and resume in the server)
fn suspend(recorder: &CrashLog) -> Result<(), Wrong> {
    expect!(recorder.flush().is_ok());
    expect!(suspended(recorder));
    // A record is accepted into RAM without the card.
    let text = b"\0accepted while the card was suspended";
    let accepted = append(recorder, text);
    expect!(accepted.is_ok());
    hl::sleep_for(50);
    expect!(state(recorder) == Some(RecorderState::Suspended));
    // An operation that needs the card resumes it.
    expect!(recorder.flush().ok() >= accepted.ok());
    expect!(state(recorder) == Some(RecorderState::Ready));
    expect!(suspended(recorder));
    let newest = recorder.status().ok().and_then(|status| status.newest_page);
    let mut page = [0; PAGE_LEN];
    expect!(recorder.read_page(newest.unwrap_or_default(), &mut page) == Ok(()));
    expect!(page.windows(text.len()).any(|window| window == text));
    expect!(state(recorder) == Some(RecorderState::Ready));
    expect!(suspended(recorder));
    expect!(
        recorder
            .status()
            .is_ok_and(|status| status.last_failure.is_none() && status.emergency_ready)
    );
    Ok(())
}

fn numbers(recorder: &CrashLog) -> Result<(), Wrong> {
    let first = append(recorder, b"\0one");
    expect!(first.is_ok());
    let first = first.unwrap_or_default();
    for further in 1..4 {
        expect!(append(recorder, b"\0more") == Ok(first + further));
    }
    expect!(
        recorder
            .status()
            .is_ok_and(|status| status.accepted == first + 3)
    );
    Ok(())
}

fn lengths(recorder: &CrashLog) -> Result<(), Wrong> {
    let bytes = [b'l'; RECORD_MAX];
    for length in [0, 1, 2, 3, 4, 5, 63, 64, 255, RECORD_MAX] {
        expect!(recorder.flush().is_ok());
        expect!(append(recorder, bytes.get(..length).unwrap_or(&[])).is_ok());
    }
    Ok(())
}

fn flush(recorder: &CrashLog) -> Result<(), Wrong> {
    let accepted = append(recorder, b"\0to be durable");
    let durable = recorder.status().map(|status| status.durable);
    expect!(durable.ok() < accepted.ok());
    expect!(recorder.flush().ok() >= accepted.ok());
    expect!(
        recorder
            .status()
            .is_ok_and(|status| Some(status.durable) >= accepted.ok() && status.ring_used == 0)
    );
    Ok(())
}

fn flush_nothing(recorder: &CrashLog) -> Result<(), Wrong> {
    let durable = recorder.flush();
    let written = recorder.status().map(|status| status.pages_written);
    expect!(recorder.flush() == durable);
    expect!(recorder.status().map(|status| status.pages_written) == written);
    Ok(())
}

fn read_back(recorder: &CrashLog) -> Result<(), Wrong> {
    let text = b"\0this very line";
    expect!(append(recorder, text).is_ok());
    expect!(recorder.flush().is_ok());
    let newest = recorder.status().ok().and_then(|status| status.newest_page);
    expect!(newest.is_some());
    let mut page = [0; PAGE_LEN];
    expect!(recorder.read_page(newest.unwrap_or_default(), &mut page) == Ok(()));
    expect!(page.windows(text.len()).any(|window| window == text));
    Ok(())
}

fn no_such_page(recorder: &CrashLog) -> Result<(), Wrong> {
    let newest = recorder
        .status()
        .ok()
        .and_then(|status| status.newest_page)
        .unwrap_or_default();
    let mut page = [0; PAGE_LEN];
    for page_number in [newest + 1, u32::MAX] {
        expect!(recorder.read_page(page_number, &mut page) == Err(CrashLogError::NoSuchPage));
    }
    Ok(())
}

fn no_such_crash(recorder: &CrashLog) -> Result<(), Wrong> {
    expect!(recorder.status().is_ok_and(|status| status.crashes == 0));
    expect!(recorder.crash_info(0).err() == Some(CrashLogError::NoSuchCrash));
    expect!(recorder.crash_info(u32::MAX).err() == Some(CrashLogError::NoSuchCrash));
    expect!(recorder.read_crash(1, 0, 0, &mut [0; 16]) == Err(CrashLogError::NoSuchCrash));
    // This task may erase, but there is nothing to erase.
    expect!(recorder.erase_crash(1) == Err(CrashLogError::NoSuchCrash));
    Ok(())
}

/// REQ: X7: a client that has used up its quota gets `Full` at once, loses no accepted record, and
/// does not affect others.
fn quota(recorder: &CrashLog) -> Result<(), Wrong> {
    expect!(recorder.flush().is_ok());
    let bytes = [b'q'; RECORD_MAX];
    let mut last = 0;
    let mut refused = None;
    for _ in 0..32 {
        match append(recorder, &bytes) {
            Ok(sequence) => last = sequence,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    expect!(refused == Some(CrashLogError::Full));
    expect!(append(recorder, &[]).is_err() || append(recorder, &bytes) == Err(CrashLogError::Full));
    // The other client has a quota of its own.
    expect!(crate::misuse::another_client_appends());
    expect!(recorder.flush().is_ok_and(|durable| durable >= last));
    expect!(append(recorder, &bytes).is_ok());
    Ok(())
}

/// The number of the record follows that of the one before, the record is on the card, and it
/// counts in the quota of who sets the time. A time without a meaning is refused, and is no record.
fn time_of_day(recorder: &CrashLog) -> Result<(), Wrong> {
    const NOW: u64 = 0x0000_01a2_2334_4556;
    let before = append(recorder, b"\0before the time").unwrap_or_default();
    for beyond in [253_402_300_800_000, u64::MAX] {
        expect!(recorder.set_time(beyond) == Err(CrashLogError::BadTime));
    }
    expect!(recorder.set_time(NOW) == Ok(before + 1));
    // It may be set anew, to an earlier time.
    expect!(recorder.set_time(0) == Ok(before + 2));
    expect!(recorder.flush().ok() >= Some(before + 2));
    let newest = recorder.status().ok().and_then(|status| status.newest_page);
    let mut page = [0; PAGE_LEN];
    expect!(recorder.read_page(newest.unwrap_or_default(), &mut page) == Ok(()));
    let said = NOW.to_le_bytes();
    expect!(page.windows(said.len()).any(|window| window == said));
    let mut set = 0;
    let refused = loop {
        match recorder.set_time(NOW) {
            Ok(_) => set += 1,
            Err(error) => break error,
        }
    };
    // 32 bytes each, of the 1024 of app.toml.
    expect!(refused == CrashLogError::Full && set == 32);
    expect!(recorder.flush().is_ok());
    expect!(recorder.set_time(NOW).is_ok());
    expect!(recorder.flush().is_ok());
    Ok(())
}

/// The suite runs in the first boot after power-on. Of the others nothing is known.
fn boot_ends(recorder: &CrashLog) -> Result<(), Wrong> {
    expect!(recorder.boot_end(1) == Ok(BootEnding::PowerLost));
    for boots_ago in [0, 2, 4, 5, u32::MAX] {
        expect!(recorder.boot_end(boots_ago) == Ok(BootEnding::NotKnown));
    }
    Ok(())
}

/// REQ: C2: a record is accepted within microseconds, also when there are many.
fn never_waits(recorder: &CrashLog) -> Result<(), Wrong> {
    for _ in 0..3 {
        expect!(recorder.flush().is_ok());
        let begun = sys_get_timer().now;
        for _ in 0..3 {
            expect!(append(recorder, b"\0quick").is_ok());
        }
        // One or two ticks may pass by chance, and more on a busy host.
        expect!(sys_get_timer().now - begun < 50);
    }
    Ok(())
}
