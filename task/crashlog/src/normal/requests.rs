//! Deferred requests that read, erase and acknowledge.
//!
//! If a read fails, only the caller gets an error. If a write fails, the session ends.

use block_device::BLOCK_LEN;
use block_device::BlockDevice;
use crashlog_format::CrashFault;
use crashlog_format::page::{Page, PageError};
use crashlog_store::{CrashReadError, CrashReader, CrashWriteError, PortError};
use task_crashlog_api::{
    CrashInfo, CrashKind, CrashLogError, DeviceFailure, FailureStep, TaskName,
};

use super::session::{MountedLog, note_error};
use super::work::note_content;
use crate::recorder::{CardOperation, DeferredCall, OutLease, Recorder};
use crate::reply;
use crate::transfer_blocks::TransferBlocks;

/// Carries out one deferred call and replies to the caller.
///
/// Dropped half way, it leaves the caller without a reply; an erasure or an acknowledgement is then
/// done or not done, never in part.
///
/// # Errors
/// The card failed while the ledger was written; the caller has its reply.
pub async fn serve(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    memory: &TransferBlocks<'_>,
    call: DeferredCall,
) -> Result<(), DeviceFailure> {
    match &call.operation {
        CardOperation::DescribeCrash { index } => {
            reply::crash_info(recorder, &call, crash_info(recorder, log, *index).await);
        }
        CardOperation::ReadCrash {
            sequence,
            segment,
            offset,
            out,
        } => {
            reply::number(
                recorder,
                &call,
                read_crash(recorder, log, *sequence, *segment, *offset, out).await,
            );
        }
        CardOperation::ReadPage { page, out } => {
            reply::unit(
                recorder,
                &call,
                read_page(recorder, log, memory, *page, out).await,
            );
        }
        CardOperation::EraseCrash { sequence } | CardOperation::AcknowledgeCrash { sequence } => {
            let result = match &call.operation {
                CardOperation::AcknowledgeCrash { .. } => log.acknowledge(*sequence).await,
                _ => log.erase(*sequence).await,
            };
            note_content(recorder, log);
            match result {
                Ok(()) => reply::unit(recorder, &call, Ok(())),
                Err(CrashWriteError::Device(error)) => {
                    let failure = note_error(recorder, FailureStep::Erase, error);
                    reply::unit(recorder, &call, Err(CrashLogError::Device));
                    return Err(failure);
                }
                Err(CrashWriteError::Refused) => {
                    reply::unit(recorder, &call, Err(CrashLogError::NotSaving));
                }
                Err(CrashWriteError::NoSuchCrash | CrashWriteError::Exhausted) => {
                    reply::unit(recorder, &call, Err(CrashLogError::NoSuchCrash));
                }
            }
        }
        // The reply follows when the pages are written.
        CardOperation::Flush { .. } => {}
    }
    Ok(())
}

/// Describes the crash with this index. It only reads, so it may be dropped.
async fn crash_info(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    index: u32,
) -> Result<CrashInfo, CrashLogError> {
    let tally = log.tally(index).ok_or(CrashLogError::NoSuchCrash)?;
    let crash = log
        .open_crash(tally.sequence)
        .await
        .map_err(|error| explain(recorder, error))?;
    Ok(describe(&crash))
}

/// Translates a crash's header into the reply of `crash_info`.
fn describe(crash: &CrashReader) -> CrashInfo {
    let header = &crash.header;
    let mut name = [0; 24];
    for (to, from) in name.iter_mut().zip(header.name.as_str().bytes()) {
        *to = from;
    }
    let [fault, ..] = *header.fault_bytes();
    CrashInfo {
        sequence: header.sequence.get(),
        kind: match header.reason() {
            Ok(crashlog_format::CrashReason::Oops) => CrashKind::Oops,
            Ok(crashlog_format::CrashReason::Panic) => CrashKind::Panic,
            Ok(crashlog_format::CrashReason::SelfTest) => CrashKind::SelfTest,
            // `Err` does not occur: a header with an unknown reason is not opened.
            Ok(crashlog_format::CrashReason::Kernel) | Err(_) => CrashKind::Kernel,
        },
        late: header.late().is_some(),
        truncated: crash
            .segments()
            .iter()
            .any(|segment| segment.is_truncated()),
        task: header.task.get(),
        name: TaskName::new(name),
        fault,
        address: header.fault().and_then(address),
        boot: header.boot.get(),
        time: header.time.get(),
        repeats: crash.tally.repeats,
        segments: crash.segments().len() as u32,
    }
}

/// The address of a fault, if it has one.
fn address(fault: CrashFault) -> Option<u32> {
    match fault {
        CrashFault::MemoryAccess { address, .. } | CrashFault::BusError { address, .. } => address,
        CrashFault::StackOverflow { address } => Some(address),
        _ => None,
    }
}

/// Copies bytes of a segment into the caller's lease; returns how many. It only reads, so it may be
/// dropped.
async fn read_crash(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    sequence: u32,
    segment: u32,
    offset: u32,
    out: &OutLease,
) -> Result<u32, CrashLogError> {
    let crash = log
        .open_crash(sequence)
        .await
        .map_err(|error| explain(recorder, error))?;
    let segments = crash.segments();
    let index = segment as usize;
    if segments
        .get(index)
        .is_none_or(|segment| offset > segment.length())
    {
        return Err(CrashLogError::NoSuchSegment);
    }
    let mut bytes = [0; BLOCK_LEN];
    let wanted = bytes.get_mut(..out.len()).ok_or(CrashLogError::BadLease)?;
    let count = crash
        .read(log, index, offset, wanted)
        .await
        .map_err(|error| explain(recorder, error))?;
    let bytes = bytes.get(..count).unwrap_or(&[]);
    write_out(recorder, out, bytes)?;
    Ok(count as u32)
}

/// Copies a page of the stream ring into the caller's lease. It only reads, so it may be dropped.
async fn read_page(
    recorder: &Recorder,
    log: &mut MountedLog<'_, '_>,
    memory: &TransferBlocks<'_>,
    page: u32,
    out: &OutLease,
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
    write_out(recorder, out, &bytes)
}

/// Copies bytes to the start of the caller's lease, which is as long at least. If the caller has
/// gone, the lease may be that of its next call: nothing is written, and the error reaches nobody.
fn write_out(recorder: &Recorder, out: &OutLease, bytes: &[u8]) -> Result<(), CrashLogError> {
    if !recorder.deferred.is_current() {
        return Err(CrashLogError::BadLease);
    }
    out.write_range(0..bytes.len(), bytes)
        .map_err(|()| CrashLogError::BadLease)
}

/// Translates an error of reading a crash.
fn explain(recorder: &Recorder, error: CrashReadError<PortError>) -> CrashLogError {
    match error {
        CrashReadError::Device(error) => device(recorder, error),
        CrashReadError::NoSuchCrash => CrashLogError::NoSuchCrash,
        CrashReadError::Header(_) | CrashReadError::Other(_) => CrashLogError::Damaged,
    }
}

/// Notes an error of the port and translates it.
fn device(recorder: &Recorder, error: PortError) -> CrashLogError {
    note_error(recorder, FailureStep::Read, error);
    CrashLogError::Device
}
