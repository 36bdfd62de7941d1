//! Reads dumps out of memory: the server of `idl/dump-agent.idol`.
//!
//! The supervisor owns the dump areas: it tells where an area is, and only it claims areas, dumps
//! tasks into them and frees them. This task reads them for clients, because reading is slow and
//! the supervisor must not be busy, and adds segments to a dump of the whole system that is being
//! prepared. It uses nothing in an area that crate `humpty` has not checked.
//!
//! A dump is the memory of another task, so all operations but `get_dump_area` are closed to tasks
//! that the configuration does not name. A client that changes its lease while it is written gets
//! an error, `LeaseWriteFailed`.
//!
//! The interface is that of Hubris' `dump-agent`. The only `unsafe` makes memory of the addresses
//! of extern regions.

#![no_std]
#![no_main]

use dump_agent_api::DumpAgentError;
use humpty::{Areas, DumpArea, DumpAreaRegion, DumpSegmentHeader, READ_LEN, Words};
use idol_runtime::{Leased, NotificationHandler, RequestError, W};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_jefe_api::Jefe;
use userlib::{NotificationBits, RecvMessage, task_slot};

task_slot!(JEFE, jefe);

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// A client began to read an area.
    Read { index: u8 },
    /// A client asked for a dump of a task or of its memory.
    DumpTask(u32),
    /// A client adds a segment to a dump of the whole system.
    Segment { address: u32, length: u32 },
    /// An operation failed.
    Failed(#[count(children)] DumpAgentError),
}

counted_ringbuf!(Trace, 16, Trace::None);

/// How many extern regions there are.
const REGIONS: usize = config::REGIONS.len();

struct Server {
    jefe: Jefe,
    memory: Words<'static, REGIONS>,
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    let memory = config::REGIONS.map(|region| {
        // SAFETY: the build maps these regions, which are memory aligned to pages, into this task
        // for reading and writing. The supervisor, the only other task that has them, accesses them
        // through the same type.
        (region.address, unsafe { humpty::extern_words(region) })
    });
    let mut server = Server {
        jefe: Jefe::from(JEFE.get_task_id()),
        memory: Words::new(memory),
    };
    let mut incoming = [0; idl::INCOMING_SIZE];
    loop {
        idol_runtime::dispatch(&mut incoming, &mut server);
    }
}

impl Server {
    /// Calls `work` with one area: asks the supervisor where area `index` is. In what `work` gets,
    /// its index is 0.
    fn with_area<T>(
        &self,
        index: u8,
        work: impl FnOnce(&mut Areas<'_, Words<'static, REGIONS>>) -> Result<T, humpty::Error>,
    ) -> Result<T, DumpAgentError> {
        let area: [DumpAreaRegion; 1] = [self.jefe.get_dump_area(index)?.region];
        Ok(work(&mut Areas::new(&area, self.memory))?)
    }
}

/// Traces an error.
fn traced<T>(result: Result<T, DumpAgentError>) -> Result<T, RequestError<DumpAgentError>> {
    if let Err(error) = result {
        ringbuf_entry!(Trace::Failed(error));
    }
    Ok(result?)
}

impl idl::InOrderDumpAgentImpl for Server {
    fn read_dump(
        &mut self,
        _: &RecvMessage,
        index: u8,
        offset: u32,
    ) -> Result<[u8; READ_LEN], RequestError<DumpAgentError>> {
        if offset == 0 {
            ringbuf_entry!(Trace::Read { index });
        }
        traced(self.with_area(index, |area| area.read(0, offset)))
    }

    fn read_dump_into(
        &mut self,
        _: &RecvMessage,
        index: u8,
        offset: u32,
        out: Leased<W, [u8]>,
    ) -> Result<usize, RequestError<DumpAgentError>> {
        if offset == 0 {
            ringbuf_entry!(Trace::Read { index });
        }
        let written = self.with_area(index, |area| {
            // Checks the offset, also if nothing is to be copied.
            area.read(0, offset)?;
            Ok(area.header(0)?.written)
        });
        let left = traced(written)?.saturating_sub(offset) as usize;
        let count = left.min(out.len());
        let mut done = 0;
        while done < count {
            let at = offset.saturating_add(done as u32);
            let piece = traced(self.with_area(index, |area| area.read(0, at)))?;
            let length = count.saturating_sub(done).min(READ_LEN);
            let end = done.saturating_add(length);
            let result = out.write_range(done..end, &piece);
            traced(result.map_err(|()| DumpAgentError::LeaseWriteFailed))?;
            done = end;
        }
        Ok(count)
    }

    fn get_dump_area(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<DumpArea, RequestError<DumpAgentError>> {
        traced(self.jefe.get_dump_area(index))
    }

    fn initialize_dump(&mut self, _: &RecvMessage) -> Result<(), RequestError<DumpAgentError>> {
        traced(self.jefe.claim_dump_area().map(|_| ()))
    }

    fn add_dump_segment(
        &mut self,
        _: &RecvMessage,
        address: u32,
        length: u32,
    ) -> Result<(), RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::Segment { address, length });
        let segment = DumpSegmentHeader { address, length };
        traced(self.with_area(0, |area| area.add_segment(segment)))
    }

    fn take_dump(&mut self, _: &RecvMessage) -> Result<(), RequestError<DumpAgentError>> {
        traced(Err(DumpAgentError::NotSupported))
    }

    fn dump_task(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::DumpTask(task_index));
        traced(self.jefe.dump_task(task_index))
    }

    fn dump_task_region(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
        start: u32,
        length: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::DumpTask(task_index));
        traced(self.jefe.dump_task_region(task_index, start, length))
    }

    fn reinitialize_dump_from(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<(), RequestError<DumpAgentError>> {
        traced(self.jefe.reinitialize_dump_from(index))
    }
}

impl NotificationHandler for Server {
    fn current_notification_mask(&self) -> u32 {
        0
    }

    fn handle_notification(&mut self, _: NotificationBits) {}
}

/// Generated from the extern regions.
mod config {
    include!(concat!(env!("OUT_DIR"), "/regions.rs"));
}

/// Generated from `idl/dump-agent.idol`.
mod idl {
    use dump_agent_api::DumpAgentError;

    include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
}
