//! Dumps of tasks in memory: what the supervisor writes when a task faults, and what the dump agent
//! returns.
//!
//! A reader that shares no code with the writer reads the areas; the dump is compared with the
//! memory of the task, which is not restarted.

mod interface;
mod system;

use super::{Cases, Rig, Session};
use crate::hif_executor::Executor;
use crate::machine::{Config, Machine};
use crate::symbols::Symbols;
use anyhow::{Context, Result, bail, ensure};
use interface::*;
use libtest_mimic::Trial;
use std::sync::Arc;
use system::{AreaDump, AreaSystem, half, word};

/// The dumps in memory, and all operations of the dump agent.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    vec![session.trial(
        "target::dump-areas",
        "test/apps/dump-areas/app.toml",
        |rig: &Rig| run(rig),
    )]
}

fn run(rig: &Rig) -> Result<Cases> {
    let mut config = Config::new(&rig.image, None);
    config.debugger = true;
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let symbols = Symbols::read(&rig.image)?;
    let [(table, size)] = symbols.variable("kernel", "HUBRIS_TASK_TABLE_SPACE")?[..] else {
        bail!("the compiler has split the kernel's task table");
    };
    let system = AreaSystem {
        executor: Executor::new(&machine, &rig.image)?,
        table,
        entry: size / TASKS,
    };
    system.all_are_free()?;
    let held = system.a_fault_is_dumped()?;
    system.errors_have_their_codes(&held)?;
    system.a_lease_gets_what_is_there()?;
    system.a_lent_lease_table_harms_its_lender_only(&held)?;
    system.memory_is_dumped_on_request(&held)?;
    system.a_restarted_task_is_dumped_before()?;
    system.areas_are_used_up_and_freed()?;
    system.a_dump_of_the_system_is_prepared()?;
    machine.quit()?;
    Ok(Cases::one())
}

impl AreaSystem<'_> {
    fn all_are_free(&self) -> Result<()> {
        self.all_hold(AVAILABLE)?;
        let beyond = self.agent(GET_DUMP_AREA, &[COUNT], 10)?;
        ensure!(beyond == Err(INVALID_AREA), "area {COUNT}: {beyond:?}");
        Ok(())
    }

    /// A task that faults is dumped into the first area; the whole dump is compared with its
    /// memory.
    fn a_fault_is_dumped(&self) -> Result<AreaDump> {
        self.fault(HELD)?;
        let contents = self.wait_for(0)?;
        ensure!(contents == SINGLE_TASK, "area 0 holds {contents}");
        let dump = self.dump(0, 1)?;
        for index in 0..=dump.last {
            self.agent_hands_out(index)?;
        }
        ensure!(
            dump.task == u16::from(HELD),
            "it is a dump of task {}",
            dump.task
        );
        ensure!(
            (1..600_000).contains(&dump.time),
            "it was made at {}",
            dump.time
        );
        let entry = (self.table + u32::from(HELD) * self.entry, self.entry);
        ensure!(
            dump.segments.first() == Some(&entry) && dump.segments.len() > 1,
            "the first of its segments is not its entry, {entry:#x?}: {:#x?}",
            dump.segments
        );
        self.is_complete(&dump)?;
        // The stack is dumped from its bottom, which still has the kernel's fill pattern.
        let stack = &dump.content[1].1;
        ensure!(
            stack.starts_with(&0xbadd_cafe_u32.to_le_bytes()),
            "the task's memory begins {:02x?}",
            &stack[..16]
        );
        Ok(dump)
    }

    fn errors_have_their_codes(&self, held: &AreaDump) -> Result<()> {
        let read = |index: u8, offset: u32| [&[index][..], &offset.to_le_bytes()].concat();
        let words =
            |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let (memory, length) = held.segments[1];
        let held = u32::from(HELD);
        let cases = [
            (READ_DUMP, read(0, 1), UNALIGNED_OFFSET),
            (READ_DUMP, read(0, AREA), BAD_OFFSET),
            (READ_DUMP, read(COUNT, 0), INVALID_AREA),
            (READ_DUMP, read(5, 256), BAD_OFFSET),
            (INITIALIZE_DUMP, vec![], CANNOT_CLAIM),
            (ADD_DUMP_SEGMENT, words(&[AREAS, 4]), UNCLAIMED),
            (TAKE_DUMP, vec![], NOT_SUPPORTED),
            (DUMP_TASK, words(&[0]), NOT_SUPPORTED),
            (DUMP_TASK, words(&[TASKS]), BAD_OFFSET),
            (DUMP_TASK, words(&[u32::MAX]), BAD_OFFSET),
            (DUMP_TASK_REGION, words(&[0, memory, 4]), NOT_SUPPORTED),
            (DUMP_TASK_REGION, words(&[TASKS, memory, 4]), BAD_OFFSET),
            (
                DUMP_TASK_REGION,
                words(&[held, memory + 2, 4]),
                UNALIGNED_ADDRESS,
            ),
            (
                DUMP_TASK_REGION,
                words(&[held, memory, 6]),
                UNALIGNED_LENGTH,
            ),
            (
                DUMP_TASK_REGION,
                words(&[held, memory, length + 4]),
                BAD_SEGMENT,
            ),
            (DUMP_TASK_REGION, words(&[held, AREAS, 4]), BAD_SEGMENT),
            (
                DUMP_TASK_REGION,
                words(&[held, u32::MAX - 3, 4]),
                BAD_SEGMENT,
            ),
            (REINITIALIZE_DUMP_FROM, vec![COUNT], INVALID_AREA),
        ];
        for (operation, message, code) in cases {
            let answer = self.agent(operation, &message, 256)?;
            ensure!(
                answer == Err(code),
                "operation {operation} of {message:02x?}: {answer:02x?}"
            );
        }
        Ok(())
    }

    fn a_lease_gets_what_is_there(&self) -> Result<()> {
        let area = self.area(0)?;
        // Data from two pieces, and a lease that is longer than the rest of the area.
        for (index, offset, room) in [(0_u8, 0_usize, 300_u16), (0, 256, 100), (5, 0, 100)] {
            let offset_bytes = (offset as u32).to_le_bytes();
            let message = [&[index][..], &offset_bytes].concat();
            let answer = self.call(AGENT, READ_DUMP_INTO, &message, 4, Some(room))?;
            let Ok(bytes) = answer else {
                bail!("read_dump_into: {answer:?}");
            };
            let written = if index == 0 { area.len() } else { 24 };
            let count = (written - offset).min(room.into());
            ensure!(
                word(&bytes, 0)? as usize == count,
                "{:?} bytes",
                word(&bytes, 0)
            );
            let expected = match index {
                0 => area[offset..offset + count].to_vec(),
                _ => self.memory(AREAS + u32::from(index) * AREA, count as u32)?,
            };
            ensure!(
                bytes[4..4 + count] == expected,
                "read_dump_into at {offset}"
            );
        }
        Ok(())
    }

    /// A client lends the memory that its lease table is in, placed so that the first piece that
    /// the agent writes makes the lease shorter than that piece.
    ///
    /// REQ: C3 (in part)
    fn a_lent_lease_table_harms_its_lender_only(&self, held: &AreaDump) -> Result<()> {
        const ROOM: u32 = 512;
        let area = self.area(0)?;
        ensure!(area.len() > 256, "one piece is all of area 0");
        let place = (0..=244).step_by(4).find(|&at| {
            let word = |at| word(&area, at).unwrap_or(u32::MAX);
            word(at + 4) < u32::MAX - ROOM && word(at + 8) < 256
        });
        let place = place.context("no words of the dump are a short lease")? as u32;
        let places = self.call(RESTARTED, PLACES, &[], 24, None)?;
        let Ok(places) = places else {
            bail!("places: {places:?}");
        };
        // In the task's stack, below what it uses.
        let lent = (word(&places, 12)? & !3) - 1200;
        let (table, message) = (lent + place, lent + ROOM);
        let (reply, call) = (message + 8, message + 12);
        // SEND is system call 0; the agent was not restarted yet.
        let to = u32::from(AGENT) << 16 | u32::from(READ_DUMP_INTO);
        let arguments = [0, to, message, 5, reply, 4, table, 1];
        // A lease is attributes (2 is writable), address, length; the message is area 0, offset 0.
        let words = [
            (table, 2),
            (table + 4, lent),
            (table + 8, ROOM),
            (message, 0),
            (message + 4, 0),
        ];
        let arguments = (call..).step_by(4).zip(arguments);
        for (address, value) in words.into_iter().chain(arguments) {
            let word = [address, value].map(u32::to_le_bytes).concat();
            let answer = self.call(RESTARTED, WRITE, &word, 4, None)?;
            ensure!(answer.is_ok(), "writes {address:#x}: {answer:?}");
        }
        let answer = self.call(RESTARTED, SYSTEM_CALL_AT, &call.to_le_bytes(), 4, None)?;
        ensure!(answer.is_ok(), "attacks: {answer:?}");
        let result = self.call(RESTARTED, CALLED_BACK, &[], 12, None)?;
        let Ok(result) = result else {
            bail!("result: {result:?}");
        };
        // A fault of either would have been dumped to the next area.
        ensure!(
            self.contents(held.last + 1)? == AVAILABLE,
            "a task has faulted"
        );
        ensure!(
            word(&result, 0)? == LEASE_WRITE_FAILED,
            "its result is {result:02x?}"
        );
        self.agent_hands_out(0)
    }

    fn memory_is_dumped_on_request(&self, held: &AreaDump) -> Result<()> {
        let (memory, length) = held.segments[1];
        for (address, length) in [
            (memory + 8, 1000),
            (memory, length),
            (self.table + u32::from(HELD) * self.entry + 4, 16),
        ] {
            let message = [u32::from(HELD), address, length]
                .map(u32::to_le_bytes)
                .concat();
            let answer = self.agent(DUMP_TASK_REGION, &message, 1)?;
            let Ok(index) = answer else {
                bail!("dump_task_region at {address:#x}: {answer:?}");
            };
            ensure!(index == [held.last + 1], "it is in area {index:?}");
            ensure!(self.contents(index[0])? == TASK_REGION, "it is no region");
            let dump = self.dump(index[0], 3)?;
            ensure!(
                (dump.task, &dump.segments[..]) == (u16::from(HELD), &[(address, length)]),
                "{} and {:#x?} instead of {address:#x}",
                dump.task,
                dump.segments
            );
            self.is_complete(&dump)?;
            let freed = self.agent(REINITIALIZE_DUMP_FROM, &index, 0)?;
            ensure!(freed == Ok(vec![]), "reinitialize_dump_from: {freed:?}");
            ensure!(self.contents(index[0])? == AVAILABLE, "it is not free");
            ensure!(self.contents(0)? == SINGLE_TASK, "the first is free");
        }
        Ok(())
    }

    /// REQ: C1 (in part)
    fn a_restarted_task_is_dumped_before(&self) -> Result<()> {
        let reset = self.call(JEFE, REINITIALIZE_DUMP_AREAS, &[], 0, None)?;
        ensure!(reset == Ok(vec![]), "reinitialize_dump_areas: {reset:?}");
        self.all_hold(AVAILABLE)?;
        // It is not among the callers of this operation, so the agent faults it.
        let places = self.call(RESTARTED, PLACES, &[], 24, None)?;
        let Ok(places) = places else {
            bail!("places: {places:?}");
        };
        let memory = (word(&places, 12)? & !3) - 1200;
        let to = u32::from(AGENT) << 16 | u32::from(READ_DUMP);
        let call = [0, to, memory, 5, memory, 256]
            .map(u32::to_le_bytes)
            .concat();
        let answer = self.call(RESTARTED, SYSTEM_CALL_AFTER, &call, 4, None)?;
        ensure!(answer.is_ok(), "reads a dump: {answer:?}");
        self.wait_for(0)?;
        let dump = self.dump(0, 1)?;
        ensure!(dump.task == u16::from(RESTARTED), "task {}", dump.task);
        // The task runs again, and the dump has not changed.
        let echo = self.call(RESTARTED, ECHO, b"alive...", 8, None)?;
        ensure!(echo == Ok(b"alive...".to_vec()), "{echo:?}");
        let later = self.dump(0, 1)?;
        ensure!(
            (later.time, later.content) == (dump.time, dump.content),
            "the dump has changed"
        );
        Ok(())
    }

    /// A dump that does not fit is refused; the agent's own dump does not contain the areas, to
    /// which it has access.
    fn areas_are_used_up_and_freed(&self) -> Result<()> {
        let answer = self.agent(REINITIALIZE_DUMP_FROM, &[0], 0)?;
        ensure!(answer == Ok(vec![]), "reinitialize_dump_from: {answer:?}");
        let agent = self.call(
            JEFE,
            JEFE_DUMP_TASK,
            &u32::from(AGENT).to_le_bytes(),
            1,
            None,
        )?;
        ensure!(agent == Ok(vec![0]), "dump_task of the agent: {agent:?}");
        let dump = self.dump(0, 1)?;
        let areas = AREAS..AREAS + u32::from(COUNT) * AREA;
        ensure!(
            !dump.segments.iter().any(|(at, _)| areas.contains(at)),
            "the agent's dump has {:#x?}",
            dump.segments
        );
        let mut next = dump.last + 1;
        let refused = loop {
            match self.agent(DUMP_TASK, &u32::from(HIFFY).to_le_bytes(), 1)? {
                Ok(index) => {
                    ensure!(index == [next], "area {index:?} instead of {next}");
                    let dump = self.dump(next, 1)?;
                    ensure!(dump.task == u16::from(HIFFY), "task {}", dump.task);
                    next = dump.last + 1;
                }
                Err(code) => break code,
            }
        };
        ensure!(refused == CANNOT_CLAIM, "a dump too many: error {refused}");
        for index in 0..COUNT {
            let free = self.contents(index)? == AVAILABLE;
            ensure!(free == (index >= next), "area {index} of {next}");
        }
        Ok(())
    }

    fn a_dump_of_the_system_is_prepared(&self) -> Result<()> {
        for (operation, message) in [
            (REINITIALIZE_DUMP_FROM, vec![0]),
            (INITIALIZE_DUMP, vec![]),
            (
                ADD_DUMP_SEGMENT,
                [0x1000_u32, 0x20].map(u32::to_le_bytes).concat(),
            ),
            (
                ADD_DUMP_SEGMENT,
                [0x2000_u32, 0x40].map(u32::to_le_bytes).concat(),
            ),
        ] {
            let answer = self.agent(operation, &message, 0)?;
            ensure!(answer == Ok(vec![]), "operation {operation}: {answer:?}");
        }
        self.all_hold(WHOLE_SYSTEM)?;
        let area = self.area(0)?;
        ensure!(
            (area[16], area[17], half(&area, 18)?, area.len()) == (2, 0xff, 2, 40),
            "{area:02x?}"
        );
        let segments = [0x1000_u32, 0x20, 0x2000, 0x40]
            .map(u32::to_le_bytes)
            .concat();
        ensure!(area[24..] == segments, "{area:02x?}");
        let task = self.agent(DUMP_TASK, &u32::from(HIFFY).to_le_bytes(), 1)?;
        ensure!(task == Err(CANNOT_CLAIM), "a task in between: {task:?}");
        Ok(())
    }
}
