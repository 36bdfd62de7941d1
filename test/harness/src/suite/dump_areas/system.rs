//! The system with dump areas, called through the executor, and a reader of the areas in its
//! memory.

use super::interface::{
    AGENT, AREA, AREAS, AVAILABLE, BAD_OFFSET, COUNT, GET_DUMP_AREA, LIMIT, READ_DUMP,
    SYSTEM_CALL_AFTER,
};
use crate::hif_executor::{Executor, Returned, SEND, SEND_LEASE_WRITE, pause};
use anyhow::{Context, Result, bail, ensure};
use lzss::{SliceReader, SliceWriter};
use std::time::Instant;

pub struct AreaSystem<'a> {
    pub executor: Executor<'a>,
    /// Address of the kernel's task table, and size of an entry.
    pub table: u32,
    pub entry: u32,
}

/// A dump, read from its areas.
pub struct AreaDump {
    pub task: u16,
    pub time: u64,
    /// Address and length.
    pub segments: Vec<(u32, u32)>,
    /// Address and content; adjacent pieces are joined.
    pub content: Vec<(u32, Vec<u8>)>,
    /// The last area.
    pub last: u8,
}

impl AreaSystem<'_> {
    /// Calls an operation. `reply` is the most bytes of the reply, `lease` those of a lease that
    /// the server writes.
    pub fn call(
        &self,
        task: u8,
        operation: u8,
        message: &[u8],
        reply: u16,
        lease: Option<u16>,
    ) -> Result<Returned> {
        let bytes = [task, operation].into_iter().chain(message.iter().copied());
        let bytes = bytes.chain([message.len() as u8]);
        let mut text: Vec<u8> = bytes.flat_map(|byte| [4, byte]).collect();
        let mut depth = text.len() as u8 / 2;
        for size in [reply].into_iter().chain(lease) {
            text.push(5);
            text.extend(size.to_le_bytes());
            depth += 1;
        }
        let function = if lease.is_some() {
            SEND_LEASE_WRITE
        } else {
            SEND
        };
        text.extend([1, function, 3, depth]);
        let mut returned = self.executor.call(&text, &[])?;
        ensure!(
            returned.len() == 1,
            "operation {operation} of {task}: {returned:?}"
        );
        Ok(returned.remove(0))
    }

    /// Calls an operation of the agent.
    pub fn agent(&self, operation: u8, message: &[u8], reply: u16) -> Result<Returned> {
        self.call(AGENT, operation, message, reply, None)
    }

    /// What an area holds.
    pub fn contents(&self, index: u8) -> Result<u8> {
        match self.agent(GET_DUMP_AREA, &[index], 10)? {
            Ok(area) => {
                let expected = AREAS + u32::from(index) * AREA;
                ensure!(
                    area[..8] == [expected.to_le_bytes(), AREA.to_le_bytes()].concat()
                        && area[9] == index,
                    "area {index} is {area:02x?}"
                );
                Ok(area[8])
            }
            Err(code) => bail!("area {index}: error {code}"),
        }
    }

    pub fn all_hold(&self, contents: u8) -> Result<()> {
        for index in 0..COUNT {
            let found = self.contents(index)?;
            ensure!(found == contents, "area {index} holds {found}");
        }
        Ok(())
    }

    /// Makes a task fault after its reply, by a system call that does not exist.
    pub fn fault(&self, task: u8) -> Result<()> {
        let answer = self.call(task, SYSTEM_CALL_AFTER, &99_u32.to_le_bytes(), 4, None)?;
        ensure!(answer.is_ok(), "task {task} is to fault: {answer:?}");
        Ok(())
    }

    /// Waits until an area holds something.
    pub fn wait_for(&self, index: u8) -> Result<u8> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.contents(index)? {
                AVAILABLE => pause(deadline, "nothing is dumped")?,
                contents => return Ok(contents),
            }
        }
    }

    pub fn memory(&self, address: u32, length: u32) -> Result<Vec<u8>> {
        let mut debugger = self.executor.connect()?;
        let mut bytes = Vec::new();
        // What fits into a packet of the debugger's stub.
        for offset in (0..length).step_by(1024) {
            let piece = (length - offset).min(1024);
            bytes.extend(debugger.memory(address + offset, piece)?);
        }
        debugger.detach()?;
        Ok(bytes)
    }

    /// The part of an area in memory that was written.
    pub fn area(&self, index: u8) -> Result<Vec<u8>> {
        let mut area = self.memory(AREAS + u32::from(index) * AREA, AREA)?;
        let written = word(&area, 12)? as usize;
        ensure!((24..=area.len()).contains(&written), "{written} bytes");
        area.truncate(written);
        Ok(area)
    }

    /// Checks that the agent returns an area as it is in memory, and nothing behind its end.
    pub fn agent_hands_out(&self, index: u8) -> Result<()> {
        let mut area = Vec::new();
        for offset in (0..AREA).step_by(256) {
            let message = [&[index][..], &offset.to_le_bytes()].concat();
            match self.agent(READ_DUMP, &message, 256)? {
                Ok(piece) => area.extend(piece),
                Err(BAD_OFFSET) if offset != 0 => break,
                Err(code) => bail!("area {index} at {offset:#x}: error {code}"),
            }
        }
        let mut there = self.area(index)?;
        there.resize(there.len().next_multiple_of(256), 0);
        ensure!(area == there, "area {index} is not what is in memory");
        Ok(())
    }

    /// Reads the dump that begins in an area. `contents` is the kind of dump, as the area's header
    /// has it.
    pub fn dump(&self, first: u8, contents: u8) -> Result<AreaDump> {
        let mut dump = AreaDump {
            task: u16::MAX,
            time: 0,
            segments: Vec::new(),
            content: Vec::new(),
            last: first,
        };
        for index in first..COUNT {
            if index != first && self.contents(index)? == AVAILABLE {
                break;
            }
            let area = self.area(index)?;
            let place = AREAS + u32::from(index) * AREA;
            let next = if index + 1 < COUNT { place + AREA } else { 0 };
            let segments = half(&area, 18)?;
            if index != first && segments != 0 {
                break;
            }
            ensure!(
                area[..4] == [0x01, 0xde, 0xde, 0xad]
                    && (word(&area, 4)?, word(&area, 8)?) == (place, AREA)
                    && (area[16], area[17]) == (contents, 2)
                    && word(&area, 20)? == next,
                "area {index} begins {:02x?}",
                &area[..24]
            );
            dump.last = index;
            let mut at = 24;
            for _ in 0..segments {
                dump.segments.push((word(&area, at)?, word(&area, at + 4)?));
                at += 8;
            }
            dump.add_pieces(&area, at)?;
        }
        Ok(dump)
    }

    /// Checks that the content is that of the segments, and equal to the memory.
    pub fn is_complete(&self, dump: &AreaDump) -> Result<()> {
        let content: Vec<_> = dump
            .content
            .iter()
            .map(|(address, bytes)| (*address, bytes.len() as u32))
            .collect();
        ensure!(
            content == dump.segments,
            "segments {:#x?}, content {content:#x?}",
            dump.segments
        );
        for (address, bytes) in &dump.content {
            let there = self.memory(*address, bytes.len() as u32)?;
            let expected = blanked(there);
            ensure!(*bytes == expected, "the memory at {address:#x} is another");
        }
        Ok(())
    }
}

impl AreaDump {
    /// Reads the pieces of an area from an offset on.
    fn add_pieces(&mut self, area: &[u8], mut at: usize) -> Result<()> {
        while at < area.len() {
            if area[at..].starts_with(&[0xda, 0xda]) {
                self.task = half(area, at + 2)?;
                let time = [word(area, at + 8)?, word(area, at + 12)?];
                self.time = u64::from(time[0]) | u64::from(time[1]) << 32;
                at += 16;
                continue;
            }
            let address = word(area, at)?;
            let compressed = usize::from(half(area, at + 4)?);
            let mut plain = vec![0; half(area, at + 6)?.into()];
            at += 8;
            let data = area
                .get(at..at + compressed)
                .context("a piece is cut off")?;
            let (reader, writer) = (SliceReader::new(data), SliceWriter::new(&mut plain));
            type Lzss = lzss::Lzss<6, 4, 0x20, 64, 128>;
            match Lzss::decompress_stack(reader, writer) {
                Ok(count) if count == plain.len() => {}
                other => bail!("a piece of {address:#x}: {other:?}"),
            }
            let end = (at + compressed).next_multiple_of(4);
            let padding = area.get(at + compressed..end).context("no padding")?;
            ensure!(
                padding.iter().all(|byte| *byte == 0x55),
                "padding {padding:?}"
            );
            at = end;
            match self.content.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u32 == address => {
                    bytes.extend(plain);
                }
                _ => self.content.push((address, plain)),
            }
        }
        Ok(())
    }
}

pub fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).context("an area is too short")?;
    Ok(u32::from_le_bytes(word.try_into()?))
}

pub fn half(bytes: &[u8], at: usize) -> Result<u16> {
    let half = bytes.get(at..at + 2).context("an area is too short")?;
    Ok(u16::from_le_bytes(half.try_into()?))
}

/// Memory as the kernel gives it out: without what the task `assist` has declared secret.
fn blanked(mut memory: Vec<u8>) -> Vec<u8> {
    const SECRET: &[u8] = b"KEY!KEY!KEY!KEY!";
    let found = memory
        .windows(SECRET.len())
        .position(|bytes| bytes == SECRET);
    if let Some(at) = found {
        memory[at..at + SECRET.len()].fill(b'*');
    }
    memory
}
