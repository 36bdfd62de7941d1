//! ELF cores of Hubris machines, as stock Humility writes them
//!
//! The parts, their order and all fields are as in a dump that stock Humility writes, so that
//! readers of its dumps accept the file. Behind its notes is one `NT_PRSTATUS` note for each task,
//! with the owner `CORE`: gdb reads registers only from these, and shows each as a thread. Humility
//! ignores notes of other owners.

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Write};

/// Owner of the notes.
pub const OWNER: &[u8] = b"Oxide Computer Company\0";
/// Type of the note with the build archive.
pub const ARCHIVE: u32 = 0x1de0_0001;
/// Type of the note with the registers.
const REGISTERS: u32 = 0x1de0_0002;
/// Type of the note that makes it the dump of one task.
const TASK: u32 = 0x1de0_0003;
/// The first bytes of that note.
const TASK_MAGIC: [u8; 2] = [0xda, 0xda];

/// Owner of the notes for gdb.
const CORE: &[u8] = b"CORE\0";
/// Type of the note with the registers of a thread.
const NT_PRSTATUS: u32 = 1;
/// Bytes of `struct elf_prstatus` of 32-bit ARM, and where in it are the signal, the number of the
/// thread, r0 to r15 and the status register (`bfd/elf32-arm.c`, and gdb's `arm-none-tdep.c` for
/// the order of registers).
const PRSTATUS_LEN: usize = 148;
const PRSTATUS_SIGNAL: usize = 12;
const PRSTATUS_THREAD: usize = 24;
const PRSTATUS_REGISTERS: usize = 72;
/// The signal that gdb shows for a thread: a breakpoint, the nearest to a machine that was stopped
/// from outside.
const SIGTRAP: u8 = 5;

const HEADER_LEN: u32 = 52;
const PROGRAM_LEN: u32 = 32;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Flag of a program header: readable.
const PF_R: u32 = 4;
/// Most program headers: the number has 16 bits, and the highest one has another meaning.
const PROGRAMS_MAX: usize = 0xfffe;

/// A piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address of its first byte.
    pub address: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The registers of one task, or of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number in gdb, not 0.
    pub number: u32,
    /// r0 to r15, then the status register in the layout of CPSR.
    pub registers: [u32; 17],
}

/// Makes it the dump of one task: its index, and the kernel's time in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneTask {
    /// Index of the task.
    pub index: u16,
    /// The kernel's time.
    pub ticks: u64,
}

/// What a core is made of.
#[derive(Clone, Copy, Debug)]
pub struct CoreFile<'a> {
    /// The build archive, byte for byte.
    pub archive: &'a [u8],
    /// Number and value of each register of the core; without any the note is left out.
    pub registers: &'a [(u32, u32)],
    /// The task, if it is the dump of one.
    pub task: Option<OneTask>,
    /// gdb begins with the first.
    pub threads: &'a [Thread],
    /// The memory; segments must not overlap.
    pub segments: &'a [Segment],
}

/// A core that its format cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooLarge {
    /// It has this many pieces of memory and notes.
    Pieces(usize),
    /// It has this many bytes.
    Bytes(u64),
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pieces(count) => write!(
                f,
                "{count} separate pieces of memory, and a core holds at most {PROGRAMS_MAX}"
            ),
            Self::Bytes(count) => write!(f, "{count} bytes, and a core has less than 4 GiB"),
        }
    }
}

impl CoreFile<'_> {
    fn notes(&self) -> Vec<Vec<u8>> {
        let mut notes = Vec::new();
        if !self.registers.is_empty() {
            let pairs: Vec<u8> = self
                .registers
                .iter()
                .flat_map(|(number, value)| [number.to_le_bytes(), value.to_le_bytes()])
                .flatten()
                .collect();
            notes.push(note(OWNER, REGISTERS, &pairs));
        }
        if let Some(task) = self.task {
            let mut content = TASK_MAGIC.to_vec();
            content.extend(task.index.to_le_bytes());
            content.extend(0_u32.to_le_bytes());
            content.extend(task.ticks.to_le_bytes());
            notes.push(note(OWNER, TASK, &content));
        }
        notes.push(note(OWNER, ARCHIVE, self.archive));
        let threads = self.threads.iter();
        notes.extend(threads.map(|it| note(CORE, NT_PRSTATUS, &prstatus(it))));
        notes
    }

    /// Checks that the format can express it.
    ///
    /// # Errors
    /// What is too large.
    pub fn check(&self) -> Result<(), TooLarge> {
        // Registers, task, archive.
        let pieces = self.segments.len() + self.threads.len() + 3;
        if pieces > PROGRAMS_MAX {
            return Err(TooLarge::Pieces(pieces));
        }
        let memory: u64 = self.segments.iter().map(|it| it.bytes.len() as u64).sum();
        // Headers and notes other than the archive are a few hundred bytes a piece at most.
        let bytes = memory + self.archive.len() as u64 + 512 * pieces as u64;
        if bytes > u64::from(u32::MAX) {
            return Err(TooLarge::Bytes(bytes));
        }
        Ok(())
    }

    /// Writes the whole file. [`CoreFile::check`] must have passed.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let notes = self.notes();
        let count = (notes.len() + self.segments.len()) as u32;
        let mut head = header(count);
        let mut offset = HEADER_LEN + count * PROGRAM_LEN;
        for note in &notes {
            program(&mut head, [PT_NOTE, offset, 0, note.len() as u32, 0]);
            offset += note.len() as u32;
        }
        for segment in self.segments {
            let length = segment.bytes.len() as u32;
            program(
                &mut head,
                [PT_LOAD, offset, segment.address, length, length],
            );
            offset += length.next_multiple_of(4);
        }
        out.write_all(&head)?;
        for note in &notes {
            out.write_all(note)?;
        }
        for segment in self.segments {
            out.write_all(&segment.bytes)?;
            let padding = segment.bytes.len().next_multiple_of(4) - segment.bytes.len();
            out.write_all(&[0; 3][..padding])?;
        }
        Ok(())
    }
}

/// Modes of an ARMv7-A core (ARMv7-A Architecture Reference Manual, section B1.3.1), each with the
/// number of the exception that an M-profile core would be in: SVCall, the first interrupt,
/// MemManage, UsageFault.
const EXCEPTIONS: [(u32, u32); 5] = [(0x13, 11), (0x12, 16), (0x11, 16), (0x17, 4), (0x1b, 6)];
/// The mode of tasks.
const USER: u32 = 0x10;

/// A CPSR as xPSR: flags and IT state are at the same bits, T is bit 24, and bits 0 to 8 are the
/// exception number.
#[must_use]
pub fn xpsr(cpsr: u32) -> u32 {
    let same = cpsr & 0xfe0f_fc00;
    let thumb = (cpsr >> 5 & 1) << 24;
    let mode = cpsr & 0x1f;
    let exception = EXCEPTIONS.iter().find(|it| it.0 == mode);
    same & !(1 << 24) | thumb | exception.map_or(0, |it| it.1)
}

/// The xPSR of a task as CPSR: T is bit 5, and the mode is USR.
///
/// gdb takes the machine for an ARMv7-A. The T bit tells it to read functions as Thumb code, also
/// those without frame information, whose prologues it analyses.
#[must_use]
pub fn cpsr(xpsr: u32) -> u32 {
    xpsr & 0xfe0f_fc00 & !(1 << 24) | (xpsr >> 24 & 1) << 5 | USER
}

/// Whether a status register is a CPSR and no xPSR: its mode is in the lowest five bits, of which
/// the highest is always set. An xPSR of Thumb code has T at bit 24, which a CPSR never has.
#[must_use]
pub fn is_cpsr(psr: u32) -> bool {
    psr & 1 << 24 == 0 && psr & 0x10 != 0
}

/// ELF32, little endian, ET_CORE, EM_ARM, without sections.
fn header(programs: u32) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [4_u16, 40] {
        file.extend(half.to_le_bytes());
    }
    // Version, entry, program headers, section headers, flags
    for word in [1_u32, 0, HEADER_LEN, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [HEADER_LEN, PROGRAM_LEN, programs, 40, 0, 0] {
        file.extend((half as u16).to_le_bytes());
    }
    file
}

fn program(file: &mut Vec<u8>, [kind, offset, address, in_file, in_memory]: [u32; 5]) {
    for word in [kind, offset, address, 0, in_file, in_memory, PF_R, 0] {
        file.extend(word.to_le_bytes());
    }
}

fn prstatus(thread: &Thread) -> Vec<u8> {
    let mut status = vec![0; PRSTATUS_LEN];
    let mut put = |at: usize, bytes: &[u8]| status[at..at + bytes.len()].copy_from_slice(bytes);
    put(PRSTATUS_SIGNAL, &[SIGTRAP]);
    put(PRSTATUS_THREAD, &thread.number.to_le_bytes());
    for (index, value) in thread.registers.iter().enumerate() {
        put(PRSTATUS_REGISTERS + 4 * index, &value.to_le_bytes());
    }
    status
}

fn note(owner: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [owner.len() as u32, content.len() as u32, kind] {
        note.extend(word.to_le_bytes());
    }
    note.extend(owner);
    pad(&mut note);
    note.extend(content);
    pad(&mut note);
    note
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::ElfFile32;
    use object::{LittleEndian, Object, ObjectSegment};

    #[test]
    fn another_reader_finds_everything() {
        let segments = [
            Segment {
                address: 0x8010_0000,
                bytes: vec![1, 2, 3, 4, 5],
            },
            Segment {
                address: 0x8080_0000,
                bytes: vec![9; 8],
            },
        ];
        let thread = Thread {
            number: 3,
            registers: std::array::from_fn(|index| index as u32),
        };
        let core = CoreFile {
            archive: b"zip",
            registers: &[(0, 7), (15, 0x8010_0004)],
            task: Some(OneTask {
                index: 0x0102,
                ticks: 0x0304,
            }),
            threads: &[thread],
            segments: &segments,
        };
        assert_eq!(core.check(), Ok(()));
        let mut file = Vec::new();
        core.write(&mut file).expect("memory");
        let elf = ElfFile32::<LittleEndian>::parse(&*file).expect("an ELF file");
        assert_eq!(elf.kind(), object::ObjectKind::Core);
        let found: Vec<(u64, Vec<u8>)> = elf
            .segments()
            .map(|it| (it.address(), it.data().expect("in the file").to_vec()))
            .collect();
        assert_eq!(
            found,
            [
                (0x8010_0000, vec![1, 2, 3, 4, 5]),
                (0x8080_0000, vec![9; 8])
            ]
        );
        assert_eq!(file.len() % 4, 0);

        let (mut notes, mut threads) = (Vec::new(), 0);
        for header in elf.elf_program_headers() {
            use object::read::elf::ProgramHeader;
            let Ok(Some(mut list)) = header.notes(LittleEndian, &*file) else {
                continue;
            };
            while let Some(note) = list.next().expect("a note") {
                if note.name() == b"CORE" {
                    let desc = note.desc();
                    assert_eq!((note.n_type(LittleEndian).0, desc.len()), (1, 148));
                    assert_eq!(desc[24..28], [3, 0, 0, 0]);
                    assert_eq!(desc[72 + 15 * 4..72 + 17 * 4], [15, 0, 0, 0, 16, 0, 0, 0]);
                    threads += 1;
                    continue;
                }
                assert_eq!(note.name(), b"Oxide Computer Company");
                notes.push((note.n_type(LittleEndian).0, note.desc().to_vec()));
            }
        }
        assert_eq!(threads, 1);
        let registers = [0, 0, 0, 0, 7, 0, 0, 0, 15, 0, 0, 0, 4, 0, 0x10, 0x80];
        assert_eq!(
            notes,
            [
                (0x1de0_0002, registers.to_vec()),
                (
                    0x1de0_0003,
                    vec![0xda, 0xda, 2, 1, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]
                ),
                (0x1de0_0001, b"zip".to_vec())
            ]
        );
    }

    #[test]
    fn what_the_format_cannot_express_is_refused() {
        let segment = Segment {
            address: 0,
            bytes: Vec::new(),
        };
        let core = |segments| CoreFile {
            archive: &[],
            registers: &[],
            task: None,
            threads: &[],
            segments,
        };
        let many = vec![segment; PROGRAMS_MAX - 2];
        assert_eq!(core(&many).check(), Err(TooLarge::Pieces(PROGRAMS_MAX + 1)));
        assert_eq!(core(&many[1..]).check(), Ok(()));
    }

    #[test]
    fn status_registers() {
        assert!(is_cpsr(0x6000_0030) && is_cpsr(0x6000_01b3) && !is_cpsr(0x4100_0000));
        assert_eq!(xpsr(0x6000_0030), 0x6100_0000);
        assert_eq!(xpsr(0x6000_01b3), 0x6100_000b);
        assert_eq!(cpsr(0x6100_0000), 0x6000_0030);
    }
}
