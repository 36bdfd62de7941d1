//! The file: an ELF core with the archive, the registers and memory (humility.md, section 5.1).
//!
//! Everything is as stock Humility writes it, to the order of the parts and the fields that nobody reads, so that other
//! readers of its dumps take it as well.

/// Owner of the notes.
const OWNER: &[u8] = b"Oxide Computer Company\0";
/// Type of the note with the build archive.
const ARCHIVE: u32 = 0x1de0_0001;
/// Type of the note with the registers.
const REGISTERS: u32 = 0x1de0_0002;

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

/// The whole file. Segments must not overlap.
pub fn write(archive: &[u8], registers: &[(u32, u32)], segments: &[Segment]) -> Vec<u8> {
    let pairs: Vec<u8> = registers
        .iter()
        .flat_map(|(number, value)| [number.to_le_bytes(), value.to_le_bytes()])
        .flatten()
        .collect();
    let notes = [note(REGISTERS, &pairs), note(ARCHIVE, archive)];
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

fn note(kind: u32, content: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [OWNER.len() as u32, content.len() as u32, kind] {
        note.extend(word.to_le_bytes());
    }
    note.extend(OWNER);
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
        let file = write(b"zip", &[(0, 7), (15, 0x8010_0004)], &segments);
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

        let mut notes = Vec::new();
        for header in elf.elf_program_headers() {
            use object::read::elf::ProgramHeader;
            let Ok(Some(mut list)) = header.notes(LittleEndian, &*file) else {
                continue;
            };
            while let Some(note) = list.next().expect("a note") {
                assert_eq!(note.name(), b"Oxide Computer Company");
                notes.push((note.n_type(LittleEndian).0, note.desc().to_vec()));
            }
        }
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
