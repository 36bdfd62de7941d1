//! The dump file: an ELF core with the archive, the registers and memory
//!
//! The parts, their order and all fields are as in a dump that stock Humility writes, so that
//! readers of its dumps accept the file. Behind its notes is one `NT_PRSTATUS` note for each task,
//! with the owner `CORE`: gdb reads registers only from these, and shows each as a thread. Humility
//! ignores notes of other owners.

/// Owner of the notes.
const OWNER: &[u8] = b"Oxide Computer Company\0";
/// Type of the note with the build archive.
const ARCHIVE: u32 = 0x1de0_0001;
/// Type of the note with the registers.
const REGISTERS: u32 = 0x1de0_0002;

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

/// A piece of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub address: u32,
    pub bytes: Vec<u8>,
}

/// The registers of one task, or of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number in gdb, not 0.
    pub number: u32,
    /// r0 to r15, then the status register.
    pub registers: [u32; 17],
}

/// The whole file. Segments must not overlap; gdb begins with the first thread.
pub fn write(
    archive: &[u8],
    registers: &[(u32, u32)],
    threads: &[Thread],
    segments: &[Segment],
) -> Vec<u8> {
    let pairs: Vec<u8> = registers
        .iter()
        .flat_map(|(number, value)| [number.to_le_bytes(), value.to_le_bytes()])
        .flatten()
        .collect();
    let mut notes = vec![
        note(OWNER, REGISTERS, &pairs),
        note(OWNER, ARCHIVE, archive),
    ];
    notes.extend(
        threads
            .iter()
            .map(|it| note(CORE, NT_PRSTATUS, &prstatus(it))),
    );
    let count = (notes.len() + segments.len()) as u32;
    let mut file = header(count);
    let mut offset = HEADER_LEN + count * PROGRAM_LEN;
    for note in &notes {
        program(&mut file, [PT_NOTE, offset, 0, note.len() as u32, 0]);
        offset += note.len() as u32;
    }
    for segment in segments {
        let length = segment.bytes.len() as u32;
        program(
            &mut file,
            [PT_LOAD, offset, segment.address, length, length],
        );
        offset += length.next_multiple_of(4);
    }
    for note in &notes {
        file.extend(note);
    }
    for segment in segments {
        file.extend(&segment.bytes);
        pad(&mut file);
    }
    file
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
        let file = write(b"zip", &[(0, 7), (15, 0x8010_0004)], &[thread], &segments);
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
                (0x1de0_0001, b"zip".to_vec())
            ]
        );
    }
}
