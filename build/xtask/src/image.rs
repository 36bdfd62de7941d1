//! The image: kernel and tasks as one piece of flash, and the files made from it

use anyhow::{Context, Result, bail};
use build_elf::Elf;
use object::elf::{
    ELFOSABI_ARM, ELFOSABI_NONE, EM_ARM, ET_EXEC, ET_REL, EV_CURRENT, PF_R, PF_X, PT_LOAD,
    SHF_ALLOC, SHF_WRITE, SHT_PROGBITS, SHT_STRTAB,
};
use std::collections::BTreeMap;

/// Bytes of the image header that the kernel leaves room for.
pub const HEADER_SIZE: u32 = 80;

/// First word of the image header.
const HEADER_MAGIC: u32 = 0x64ce_d6ca;

/// Value of a byte of erased flash.
const ERASED: u8 = 0xff;

/// Pieces of flash by load address.
#[derive(Clone, Debug, Default)]
pub struct Flash(BTreeMap<u32, Vec<u8>>);

/// The image as one run of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// Address of the first byte.
    pub base: u32,
    /// Everything from the first piece to the last, gaps erased.
    pub bytes: Vec<u8>,
}

impl Flash {
    /// Adds everything that `elf` loads.
    pub fn add(&mut self, elf: &Elf) -> Result<()> {
        for segment in elf.segments()? {
            if !segment.bytes.is_empty() {
                self.0.insert(segment.load_address, segment.bytes.to_vec());
            }
        }
        Ok(())
    }

    /// Joins the pieces.
    pub fn combine(&self) -> Result<Combined> {
        let base = *self.0.first_key_value().context("the image is empty")?.0;
        let mut bytes: Vec<u8> = Vec::new();
        for (address, piece) in &self.0 {
            let offset = usize::try_from(address - base)?;
            if offset < bytes.len() {
                bail!("two parts of the image are both loaded at {address:#x}");
            }
            bytes.resize(offset, ERASED);
            bytes.extend_from_slice(piece);
        }
        Ok(Combined { base, bytes })
    }
}

impl Combined {
    /// The same image, erased flash behind it up to `end` (exclusive). Regions are whole granules,
    /// and Humility's `hydrate` reads each of them to its end.
    #[must_use]
    pub fn padded(&self, end: u32) -> Self {
        let length = end.saturating_sub(self.base) as usize;
        let mut bytes = self.bytes.clone();
        bytes.resize(length.max(bytes.len()), ERASED);
        Self {
            base: self.base,
            bytes,
        }
    }
}

/// Fills in the image header of the kernel, if its linker script keeps one.
pub fn write_header(kernel: &mut Elf, image_length: u32, version: u32, epoch: u32) -> Result<()> {
    use object::{Object, ObjectSection};
    let Some((address, size)) = kernel
        .file()?
        .section_by_name(".header")
        .map(|section| (section.address(), section.size()))
    else {
        return Ok(());
    };
    if size < u64::from(HEADER_SIZE) {
        bail!(
            "the kernel's section .header has {size} bytes; the image header needs {HEADER_SIZE}"
        );
    }
    kernel.patch(
        u32::try_from(address)?,
        &header(image_length, version, epoch),
    )
}

/// `ImageHeader` of the ABI.
fn header(image_length: u32, version: u32, epoch: u32) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(&HEADER_MAGIC.to_le_bytes());
    header.extend_from_slice(&image_length.to_le_bytes());
    header.extend_from_slice(&[0; 64]);
    header.extend_from_slice(&version.to_le_bytes());
    header.extend_from_slice(&epoch.to_le_bytes());
    header
}

/// `final.elf`, as upstream's tools expect it: a relocatable file with one section and one segment.
pub fn final_elf(image: &Combined, entry: u32) -> Result<Vec<u8>> {
    write_elf(image, entry, Kind::Flash)
}

/// An executable for QEMU's `-kernel`. No segment covers RAM, so RAM keeps its content when the
/// machine is reset and QEMU loads this file again.
pub fn qemu_elf(image: &Combined, entry: u32) -> Result<Vec<u8>> {
    write_elf(image, entry, Kind::Executable)
}

/// What differs between the two files.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Kind {
    Flash,
    Executable,
}

/// An ELF file of one segment and the one section that covers it.
///
/// Layout: file header, program header, image, section names, section headers.
fn write_elf(image: &Combined, entry: u32, kind: Kind) -> Result<Vec<u8>> {
    const FILE_HEADER: u32 = 52;
    const PROGRAM_HEADER: u32 = 32;
    const SECTION_HEADER: u16 = 40;
    const NAMES: &[u8; 17] = b"\0.sec1\0.shstrtab\0";
    const SEC1: u32 = 1;
    const SHSTRTAB: u32 = 7;
    /// Flags of EABI version 5.
    const EABI5: u32 = 0x0500_0000;

    let size = u32::try_from(image.bytes.len())?;
    let start = (FILE_HEADER + PROGRAM_HEADER).next_multiple_of(32);
    let names = start + size;
    let sections = (names + NAMES.len() as u32).next_multiple_of(4);
    let (os_abi, elf_type, segment_flags) = match kind {
        Kind::Flash => (ELFOSABI_ARM.0, ET_REL.0, PF_R.0),
        Kind::Executable => (ELFOSABI_NONE.0, ET_EXEC.0, PF_R.0 | PF_X.0),
    };

    let mut file = Words::default();
    file.bytes(b"\x7fELF\x01\x01\x01")
        .bytes(&[os_abi])
        .bytes(&[0; 8]);
    file.half(elf_type)
        .half(EM_ARM.0)
        .word(u32::from(EV_CURRENT.0))
        .word(entry);
    file.word(FILE_HEADER).word(sections).word(EABI5);
    file.half(FILE_HEADER as u16)
        .half(PROGRAM_HEADER as u16)
        .half(1);
    file.half(SECTION_HEADER).half(3).half(2);

    file.word(PT_LOAD.0)
        .word(start)
        .word(image.base)
        .word(image.base);
    file.word(size).word(size).word(segment_flags).word(32);

    file.pad(start)
        .bytes(&image.bytes)
        .bytes(NAMES)
        .pad(sections);

    file.bytes(&[0; SECTION_HEADER as usize]);
    let flags = (SHF_ALLOC | SHF_WRITE).0 as u32;
    for header in [
        [
            SEC1,
            SHT_PROGBITS.0,
            flags,
            image.base,
            start,
            size,
            0,
            0,
            1,
            0,
        ],
        [
            SHSTRTAB,
            SHT_STRTAB.0,
            0,
            0,
            names,
            NAMES.len() as u32,
            0,
            0,
            1,
            0,
        ],
    ] {
        for word in header {
            file.word(word);
        }
    }
    Ok(file.0)
}

/// A file that is written front to back.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn half(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn word(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn pad(&mut self, offset: u32) -> &mut Self {
        self.0.resize(offset as usize, 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSection, ObjectSegment};
    use std::path::Path;

    #[test]
    fn gaps_are_erased_and_overlaps_refused() {
        let mut flash = Flash::default();
        flash.0.insert(0x1000, vec![1, 2]);
        flash.0.insert(0x1004, vec![3]);
        let combined = flash.combine().expect("no overlap");
        assert_eq!(
            combined,
            Combined {
                base: 0x1000,
                bytes: vec![1, 2, 0xff, 0xff, 3]
            }
        );
        flash.0.insert(0x1001, vec![9]);
        assert!(flash.combine().is_err());
    }

    #[test]
    fn padding_is_erased_and_takes_nothing_away() {
        let image = Combined {
            base: 0x1000,
            bytes: vec![1, 2],
        };
        assert_eq!(image.padded(0x1004).bytes, [1, 2, 0xff, 0xff]);
        for end in [0, 0x1001, 0x1002] {
            assert_eq!(image.padded(end), image);
        }
    }

    #[test]
    fn version_and_epoch_are_in_the_header() {
        let header = header(0x1_2345, 4, 3);
        assert_eq!(header.len(), HEADER_SIZE as usize);
        assert_eq!(header[..8], [0xca, 0xd6, 0xce, 0x64, 0x45, 0x23, 1, 0]);
        assert_eq!(header[72..], [4, 0, 0, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn both_files_hold_the_image_at_its_place() {
        let image = Combined {
            base: 0x8010_0000,
            bytes: vec![7; 100],
        };
        for data in [
            final_elf(&image, 0x8010_0041).expect("written"),
            qemu_elf(&image, 0x8010_0041).expect("written"),
        ] {
            let elf = Elf::parse(Path::new("image"), data).expect("an ELF file");
            let file = elf.file().expect("an ELF file");
            assert_eq!(file.entry(), 0x8010_0041);
            let segments: Vec<_> = file.segments().collect();
            assert_eq!(segments.len(), 1);
            assert_eq!(segments[0].address(), 0x8010_0000);
            assert_eq!(segments[0].data().expect("bytes"), &image.bytes[..]);
            let section = file.section_by_name(".sec1").expect("section");
            assert_eq!((section.address(), section.size()), (0x8010_0000, 100));
        }
    }
}
