//! Serving those who read and erase.
//!
//! A read that fails fails for the reader alone. A write that fails ends the session.

use block_device::BLOCK_LEN;
use block_device::BlockDevice;
use crashlog_format::CrashFault;
use crashlog_format::page::{Page, PageError};
use crashlog_store::{CrashReadError, CrashReader, CrashWriteError, PortError};
use task_crashlog_api::{CrashLogError, Failure, FailureStep, Reason, RecordInfo, TaskName};

use super::work::note_card;
use super::{Log, failed};
use crate::card::Memory;
use crate::recorder::{Out, Recorder, Request, Wanted};
use crate::reply;

/// Serves one request.
pub async fn serve(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    memory: &Memory<'_>,
    request: Request,
) -> Result<(), Failure> {
    let client = request.client;
    match request.wanted {
        Wanted::RecordInfo { index } => {
            reply::record(client, record_info(recorder, log, index).await);
        }
        Wanted::ReadRecord {
            sequence,
            segment,
            offset,
            out,
        } => {
            reply::number(
                client,
                read_record(recorder, log, sequence, segment, offset, &out).await,
            );
        }
        Wanted::ReadPage { page, out } => {
            reply::unit(client, read_page(recorder, log, memory, page, &out).await);
        }
        Wanted::EraseRecord { sequence } => {
            let result = log.erase(sequence).await;
            note_card(recorder, log);
            match result {
                Ok(()) => reply::unit(client, Ok(())),
                Err(CrashWriteError::Device(error)) => {
                    let failure = failed(recorder, FailureStep::Erase, error);
                    reply::unit(client, Err(CrashLogError::Device));
                    return Err(failure);
                }
                Err(CrashWriteError::NoSuchCrash | CrashWriteError::Exhausted) => {
                    reply::unit(client, Err(CrashLogError::NoSuchRecord));
                }
            }
        }
        // Answered when pages have been written.
        Wanted::Flush { .. } => {}
    }
    Ok(())
}

async fn record_info(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    index: u32,
) -> Result<RecordInfo, CrashLogError> {
    let tally = log.tally(index).ok_or(CrashLogError::NoSuchRecord)?;
    let record = log
        .open_crash(tally.sequence)
        .await
        .map_err(|error| explain(recorder, error))?;
    Ok(describe(&record))
}

fn describe(record: &CrashReader) -> RecordInfo {
    let header = &record.header;
    let mut name = [0; 24];
    for (to, from) in name.iter_mut().zip(header.name.as_str().bytes()) {
        *to = from;
    }
    let [fault, ..] = *header.fault_bytes();
    RecordInfo {
        sequence: header.sequence.get(),
        reason: match header.reason() {
            Ok(crashlog_format::CrashReason::Oops) => Reason::Oops,
            Ok(crashlog_format::CrashReason::Panic) => Reason::Panic,
            Ok(crashlog_format::CrashReason::SelfTest) => Reason::SelfTest,
            // A header with another reason is not opened.
            Ok(crashlog_format::CrashReason::Kernel) | Err(_) => Reason::Kernel,
        },
        late: header.late().is_some(),
        truncated: record
            .segments()
            .iter()
            .any(|segment| segment.is_truncated()),
        task: header.task.get(),
        name: TaskName::new(name),
        fault,
        address: header.fault().and_then(address),
        boot: header.boot.get(),
        time: header.time.get(),
        repeats: record.tally.repeats,
        segments: record.segments().len() as u32,
    }
}

/// The address that a fault is about, if it is about one.
fn address(fault: CrashFault) -> Option<u32> {
    match fault {
        CrashFault::MemoryAccess { address, .. } | CrashFault::BusError { address, .. } => address,
        CrashFault::StackOverflow { address } => Some(address),
        _ => None,
    }
}

async fn read_record(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    sequence: u32,
    segment: u32,
    offset: u32,
    out: &Out,
) -> Result<u32, CrashLogError> {
    let record = log
        .open_crash(sequence)
        .await
        .map_err(|error| explain(recorder, error))?;
    let segments = record.segments();
    let index = segment as usize;
    if segments
        .get(index)
        .is_none_or(|segment| offset > segment.length())
    {
        return Err(CrashLogError::NoSuchSegment);
    }
    let mut bytes = [0; BLOCK_LEN];
    let wanted = bytes.get_mut(..out.len()).ok_or(CrashLogError::BadLease)?;
    let count = record
        .read(log, index, offset, wanted)
        .await
        .map_err(|error| explain(recorder, error))?;
    let bytes = bytes.get(..count).unwrap_or(&[]);
    out.write_range(0..count, bytes)
        .map_err(|()| CrashLogError::BadLease)?;
    Ok(count as u32)
}

async fn read_page(
    recorder: &Recorder,
    log: &mut Log<'_, '_>,
    memory: &Memory<'_>,
    page: u32,
    out: &Out,
) -> Result<(), CrashLogError> {
    if page < log.oldest_page() || page >= log.next_page() {
        return Err(CrashLogError::NoSuchPage);
    }
    if out.len() != BLOCK_LEN {
        return Err(CrashLogError::BadLease);
    }
    let place = log.geometry().page(page);
    let block = core::slice::from_ref(memory.client);
    log.device()
        .read(place.into(), block)
        .await
        .map_err(|error| device(recorder, error))?;
    let mut bytes = [0; BLOCK_LEN];
    memory.client.copy_to(0, &mut bytes);
    match Page::parse(&bytes, log.format()) {
        Ok(found) if found.header.sequence() == page => {}
        Ok(_) => return Err(CrashLogError::NoSuchPage),
        Err(PageError::Header(_) | PageError::Records(_)) => return Err(CrashLogError::Damaged),
    }
    out.write_range(0..BLOCK_LEN, &bytes)
        .map_err(|()| CrashLogError::BadLease)
}

fn explain(recorder: &Recorder, error: CrashReadError<PortError>) -> CrashLogError {
    match error {
        CrashReadError::Device(error) => device(recorder, error),
        CrashReadError::NoSuchCrash => CrashLogError::NoSuchRecord,
        CrashReadError::Header(_) | CrashReadError::Other(_) => CrashLogError::Damaged,
    }
}

fn device(recorder: &Recorder, error: PortError) -> CrashLogError {
    failed(recorder, FailureStep::Read, error);
    CrashLogError::Device
}
