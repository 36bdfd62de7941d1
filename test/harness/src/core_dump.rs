//! A reader of system dumps that shares no code with the writer: ELF core files as stock Humility
//! writes them, with the build archive and the registers in notes, and one program header for each
//! piece of memory.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// A dump.
pub struct CoreDump {
    /// The build archive, byte for byte.
    pub archive: Vec<u8>,
    /// Registers under the numbers of an M-profile core.
    pub registers: BTreeMap<u32, u32>,
    /// Address and content of each piece of memory.
    pub segments: Vec<(u32, Vec<u8>)>,
    /// Number and program counter of each thread that gdb shows.
    pub threads: Vec<(u32, u32)>,
    /// Index of the task and the time, if it is the dump of one task; it has no registers then.
    pub task: Option<(u16, u64)>,
}

impl CoreDump {
    /// Reads a file, and refuses what stock Humility would not write, except for the notes for gdb.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path).with_context(|| path.display().to_string())?;
        let word = |at: usize| -> Result<u32> {
            let bytes = file.get(at..at + 4).context("the dump is cut short")?;
            Ok(u32::from_le_bytes(bytes.try_into()?))
        };
        let half = |at: usize| word(at).map(|word| word & 0xffff);
        ensure!(
            file.starts_with(b"\x7fELF\x01\x01\x01\0"),
            "not ELF32, little endian"
        );
        ensure!(half(16)? == 4 && half(18)? == 40, "not ET_CORE for EM_ARM");
        // Version, entry, program headers, section headers, flags
        let words = [20, 24, 28, 32, 36].map(word);
        for (found, wanted) in words.into_iter().zip([1, 0, 52, 0, 0]) {
            ensure!(found? == wanted, "the header is not as Humility writes it");
        }
        // Sizes of the headers; there are no sections.
        ensure!(
            half(40)? == 52 && half(42)? == 32 && half(46)? == 40 && word(48)? == 0,
            "the header is not as Humility writes it"
        );
        let count = half(44)? as usize;
        // The contents follow the headers, in the same order, each padded to a multiple of four.
        let mut next = 52 + 32 * count;
        let (mut archive, mut registers, mut task) = (None, None, None);
        let (mut segments, mut threads) = (Vec::new(), Vec::new());
        for index in 0..count {
            let at = 52 + 32 * index;
            let (offset, length) = (word(at + 4)? as usize, word(at + 16)? as usize);
            ensure!(
                offset == next && word(at + 12)? == 0 && word(at + 24)? == 4 && word(at + 28)? == 0,
                "program header {index} is not as Humility writes it"
            );
            next = (offset + length).next_multiple_of(4);
            if word(at)? == 4 {
                ensure!(
                    segments.is_empty() && word(at + 8)? == 0 && word(at + 20)? == 0,
                    "a note has an address, a length in memory, or a segment in front of it"
                );
            }
            let content = file
                .get(offset..offset + length)
                .context("content lies outside the file")?;
            match word(at)? {
                1 => {
                    ensure!(
                        word(at + 16)? == word(at + 20)?,
                        "a segment has two lengths"
                    );
                    segments.push((word(at + 8)?, content.to_vec()));
                }
                4 if word(offset)? == 5 => {
                    let status = content
                        .get(20..168)
                        .context("a note for gdb is cut short")?;
                    ensure!(
                        content[12..17] == *b"CORE\0"
                            && word(offset + 8)? == 1
                            && word(offset + 4)? == 148,
                        "a note of another writer"
                    );
                    let value = |at: usize| {
                        u32::from_le_bytes([
                            status[at],
                            status[at + 1],
                            status[at + 2],
                            status[at + 3],
                        ])
                    };
                    threads.push((value(24), value(72 + 15 * 4)));
                }
                4 => {
                    ensure!(
                        word(offset)? == 23 && content[12..35] == *b"Oxide Computer Company\0",
                        "a note of another writer"
                    );
                    let length = word(offset + 4)? as usize;
                    let body = content
                        .get(36..36 + length)
                        .context("a note is cut short")?
                        .to_vec();
                    let old = match word(offset + 8)? {
                        0x1de0_0001 => archive.replace(body),
                        0x1de0_0002 => registers.replace(body),
                        0x1de0_0003 => task.replace(body),
                        kind => bail!("a note of the unknown type {kind:#x}"),
                    };
                    ensure!(old.is_none(), "a note is there twice");
                }
                kind => bail!("a program header of type {kind}"),
            }
        }
        ensure!(file.len() == next, "something is behind the last segment");
        let task = task.map(|body| one_task(&body)).transpose()?;
        ensure!(
            registers.is_some() != task.is_some(),
            "registers belong to a system, and to no task"
        );
        let pairs = registers.unwrap_or_default();
        ensure!(
            pairs.len() == 160 || task.is_some(),
            "20 registers are 160 bytes, not {}",
            pairs.len()
        );
        let mut registers = BTreeMap::new();
        for pair in pairs.chunks_exact(8) {
            let [number, value] = [0, 4]
                .map(|at| u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]));
            ensure!(
                registers.insert(number, value).is_none(),
                "register {number} twice"
            );
        }
        Ok(Self {
            archive: archive.context("no archive")?,
            registers,
            segments,
            threads,
            task,
        })
    }

    /// Memory, which may extend over several segments.
    pub fn memory(&self, address: u32, length: u32) -> Result<Vec<u8>> {
        let whole = self.segments.iter().find_map(|(start, bytes)| {
            let at = address.checked_sub(*start)? as usize;
            bytes.get(at..at.checked_add(length as usize)?)
        });
        if let Some(whole) = whole {
            return Ok(whole.to_vec());
        }
        (address..address + length)
            .map(|address| {
                let hit = self
                    .segments
                    .iter()
                    .find_map(|(start, bytes)| bytes.get(address.checked_sub(*start)? as usize));
                hit.copied()
                    .with_context(|| format!("{address:#x} is in no segment"))
            })
            .collect()
    }

    /// Four bytes, little endian.
    pub fn word(&self, address: u32) -> Result<u32> {
        Ok(u32::from_le_bytes(
            self.memory(address, 4)?.as_slice().try_into()?,
        ))
    }
}

/// The note of the dump of one task: magic, index, zeros, time.
fn one_task(body: &[u8]) -> Result<(u16, u64)> {
    ensure!(
        body.len() == 16 && body[..2] == [0xda, 0xda] && body[4..8] == [0; 4],
        "the note of one task is not as Humility writes it: {body:x?}"
    );
    let index = u16::from_le_bytes(body[2..4].try_into()?);
    Ok((index, u64::from_le_bytes(body[8..].try_into()?)))
}
