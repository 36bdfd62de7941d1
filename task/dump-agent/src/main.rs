//! Hands out what the supervisor has dumped.
//!
//! The supervisor owns the areas: it says where one is, and it alone takes them, dumps tasks into them and makes them
//! free again. This task reads them, which is slow, in its stead, and adds segments to a dump of the whole system that is
//! being prepared. It believes of the memory what `humpty` has checked.
//!
//! Interface: hubris-interface section 10.4. `unsafe` makes memory of the addresses of extern regions.

#![no_std]
#![no_main]

use dump_agent_api::DumpAgentError;
use humpty::{Areas, DumpArea, DumpAreaRegion, DumpSegmentHeader, READ_LEN, Words};
use idol_runtime::{ClientError, Leased, NotificationHandler, RequestError, W};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use task_jefe_api::Jefe;
use userlib::{NotificationBits, RecvMessage, task_slot};

task_slot!(JEFE, jefe);

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    /// An area was read from its start.
    Read { index: u8 },
    /// A dump of a task was asked for.
    DumpTask(u32),
    /// A segment was added.
    Segment { address: u32, length: u32 },
    /// An operation failed.
    Failed(#[count(children)] DumpAgentError),
}

counted_ringbuf!(Trace, 16, Trace::None);

/// How many regions there are.
const REGIONS: usize = config::REGIONS.len();

struct Server {
    jefe: Jefe,
    memory: Words<'static, REGIONS>,
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    let memory = config::REGIONS.map(|region| {
        // SAFETY: the build maps these regions, which are memory aligned to pages, into this task for reading and
        // writing. Who else has them accesses them through the same type.
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
    /// Does something with an area, which the supervisor says where it is.
    fn with_area<T>(
        &self,
        index: u8,
        work: impl FnOnce(&mut Areas<'_, Words<'static, REGIONS>>) -> Result<T, humpty::Error>,
    ) -> Result<T, DumpAgentError> {
        let area: [DumpAreaRegion; 1] = [self.jefe.get_dump_area(index)?.region];
        Ok(work(&mut Areas::new(&area, self.memory))?)
    }
}

/// Leaves a trace of what failed.
fn noted<T>(result: Result<T, DumpAgentError>) -> Result<T, RequestError<DumpAgentError>> {
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
        noted(self.with_area(index, |area| area.read(0, offset)))
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
            // For its checks of the offset, also where nothing is to be copied.
            area.read(0, offset)?;
            Ok(area.header(0)?.written)
        });
        let left = noted(written)?.saturating_sub(offset) as usize;
        let count = left.min(out.len());
        let mut done = 0;
        while done < count {
            let at = offset.saturating_add(done as u32);
            let piece = noted(self.with_area(index, |area| area.read(0, at)))?;
            let length = count.saturating_sub(done).min(READ_LEN);
            let end = done.saturating_add(length);
            out.write_range(done..end, &piece)
                .map_err(|()| ClientError::WentAway.fail())?;
            done = end;
        }
        Ok(count)
    }

    fn get_dump_area(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<DumpArea, RequestError<DumpAgentError>> {
        noted(self.jefe.get_dump_area(index))
    }

    fn initialize_dump(&mut self, _: &RecvMessage) -> Result<(), RequestError<DumpAgentError>> {
        noted(self.jefe.claim_dump_area().map(|_| ()))
    }

    fn add_dump_segment(
        &mut self,
        _: &RecvMessage,
        address: u32,
        length: u32,
    ) -> Result<(), RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::Segment { address, length });
        let segment = DumpSegmentHeader { address, length };
        noted(self.with_area(0, |area| area.add_segment(segment)))
    }

    fn take_dump(&mut self, _: &RecvMessage) -> Result<(), RequestError<DumpAgentError>> {
        noted(Err(DumpAgentError::NotSupported))
    }

    fn dump_task(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::DumpTask(task_index));
        noted(self.jefe.dump_task(task_index))
    }

    fn dump_task_region(
        &mut self,
        _: &RecvMessage,
        task_index: u32,
        start: u32,
        length: u32,
    ) -> Result<u8, RequestError<DumpAgentError>> {
        ringbuf_entry!(Trace::DumpTask(task_index));
        noted(self.jefe.dump_task_region(task_index, start, length))
    }

    fn reinitialize_dump_from(
        &mut self,
        _: &RecvMessage,
        index: u8,
    ) -> Result<(), RequestError<DumpAgentError>> {
        noted(self.jefe.reinitialize_dump_from(index))
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
