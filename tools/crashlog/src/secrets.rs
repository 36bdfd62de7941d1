//! Secrets of tasks in a build archive.
//!
//! The kernel blanks the memory of secrets wherever it leaves the machine. Their initial values are
//! in the archive all the same: in the program of the task, and in the flash of the image, from
//! which start-up code copies them. The files that this program writes have these blanked, too.

use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{LittleEndian, Object, ObjectSymbol};
use std::io::{self, Cursor, Read, Seek, Write};
use std::ops::Range;
use zip::result::ZipResult;
use zip::{ZipArchive, ZipWriter};

/// What each byte of a secret is replaced by, as by the kernel.
const BLANK: u8 = b'*';

/// The longest member of an archive that is copied, in bytes.
const MEMBER_MAX: u64 = 64 << 20;

/// The initial value of secrets of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Initial {
    /// Where it is in the ELF of the task.
    file: Range<usize>,
    /// The address from which start-up code copies it.
    load: u32,
}

/// The initial values of the secrets of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Range<u32>>);

/// A loaded part of an ELF.
struct Part {
    address: u32,
    load: u32,
    file: Range<usize>,
}

/// The loaded parts of an ELF that are in its file.
fn parts(elf: &[u8]) -> Vec<Part> {
    let Ok(file) = ElfFile32::<LittleEndian>::parse(elf) else {
        return Vec::new();
    };
    let headers = file.elf_program_headers().iter();
    let loaded = headers.filter(|header| header.p_type(LittleEndian) == PT_LOAD);
    let parts = loaded.filter_map(|header| {
        let start = header.p_offset(LittleEndian) as usize;
        let end = start.checked_add(header.p_filesz(LittleEndian) as usize)?;
        elf.get(start..end)?;
        Some(Part {
            address: header.p_vaddr(LittleEndian),
            load: header.p_paddr(LittleEndian),
            file: start..end,
        })
    });
    parts.collect()
}

/// The initial values of what a task has between `__ssecret` and `__esecret`.
fn of_task(elf: &[u8]) -> Vec<Initial> {
    let symbol = |name: &str| {
        let file = ElfFile32::<LittleEndian>::parse(elf).ok()?;
        let mut symbols = file.symbols();
        let found = symbols.find(|symbol| symbol.name() == Ok(name))?;
        u32::try_from(found.address()).ok()
    };
    let (Some(start), Some(end)) = (symbol("__ssecret"), symbol("__esecret")) else {
        return Vec::new();
    };
    let parts = parts(elf).into_iter().filter_map(|part| {
        let part_end = u64::from(part.address) + part.file.len() as u64;
        let from = start.max(part.address);
        let to = u64::from(end).min(part_end);
        let length = to.checked_sub(from.into()).filter(|length| *length > 0)?;
        let skip = from - part.address;
        let first = part.file.start + skip as usize;
        Some(Initial {
            file: first..first + length as usize,
            load: part.load.checked_add(skip)?,
        })
    });
    parts.collect()
}

impl Secrets {
    /// The secrets of the tasks with these programs.
    pub fn of<'a>(programs: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let all = programs.into_iter().flat_map(of_task);
        Self(
            all.map(|it| it.load..it.load.saturating_add(it.file.len() as u32))
                .collect(),
        )
    }

    /// Whether no task has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Blanks them in bytes of flash that are loaded at this address.
    pub fn blank(&self, address: u32, bytes: &mut [u8]) {
        let end = u64::from(address) + bytes.len() as u64;
        for range in &self.0 {
            let from = u64::from(range.start.max(address));
            let to = u64::from(range.end).min(end);
            if from < to {
                let first = (from - u64::from(address)) as usize;
                bytes[first..first + (to - from) as usize].fill(BLANK);
            }
        }
    }

    /// The archive without them: its other members as they are, byte for byte. `is_program` says
    /// which members are programs of tasks.
    pub fn without(&self, archive: &[u8], is_program: impl Fn(&str) -> bool) -> ZipResult<Vec<u8>> {
        let mut from = ZipArchive::new(Cursor::new(archive))?;
        let mut to = ZipWriter::new(Cursor::new(Vec::new()));
        to.set_raw_comment(from.comment().into())?;
        let base = match from.index_for_name("img/final.elf") {
            Some(index) => {
                let (_, elf) = member(&mut from, index, MEMBER_MAX)?;
                parts(&elf).iter().map(|part| part.load).min()
            }
            None => None,
        };
        for index in 0..from.len() {
            let (name, mut bytes) = member(&mut from, index, MEMBER_MAX)?;
            let before = bytes.clone();
            if is_program(&name) {
                for it in of_task(&before) {
                    bytes[it.file].fill(BLANK);
                }
            } else if name == "img/final.elf" {
                for part in parts(&before) {
                    self.blank(part.load, &mut bytes[part.file]);
                }
            } else if name == "img/final.bin" {
                // All of the image, from its first byte on.
                self.blank(base.unwrap_or_default(), &mut bytes);
            }
            if bytes == before {
                to.raw_copy_file(from.by_index_raw(index)?)?;
            } else {
                let options = from.by_index_raw(index)?.options();
                to.start_file(name, options)?;
                to.write_all(&bytes)?;
            }
        }
        Ok(to.finish()?.into_inner())
    }
}

/// Name and bytes of a member. One of more than `longest` bytes is an error.
fn member(
    zip: &mut ZipArchive<impl Read + Seek>,
    index: usize,
    longest: u64,
) -> ZipResult<(String, Vec<u8>)> {
    let member = zip.by_index(index)?;
    let name = member.name()?.into_owned();
    let mut bytes = Vec::new();
    member.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let why = format!("{name} has more than {longest} bytes");
        return Err(io::Error::other(why).into());
    }
    Ok((name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bytes_of_secrets_are_blanked() {
        let secrets = Secrets(vec![0x104..0x108, 0xffff_fffc..u32::MAX]);
        let blanked = |address| {
            let mut bytes = *b"abcdefgh";
            secrets.blank(address, &mut bytes);
            bytes
        };
        assert_eq!(blanked(0x100), *b"abcd****");
        assert_eq!(blanked(0x106), *b"**cdefgh");
        assert_eq!(blanked(0x108), *b"abcdefgh");
        assert_eq!(blanked(0xfc), *b"abcdefgh");
        assert_eq!(blanked(0xffff_fff8), *b"abcd***h");
    }

    #[test]
    fn a_member_is_not_cut() {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("notes", options).expect("member");
        zip.write_all(b"abcd").expect("member");
        let mut zip = ZipArchive::new(zip.finish().expect("zip")).expect("zip");
        let whole = member(&mut zip, 0, 4).expect("member");
        assert_eq!(whole, ("notes".to_owned(), b"abcd".to_vec()));
        let error = member(&mut zip, 0, 3).expect_err("too long").to_string();
        assert!(error.contains("notes has more than 3 bytes"), "{error}");
    }

    #[test]
    fn what_is_no_program_has_none() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 100]] {
            assert!(Secrets::of([bytes]).is_empty());
        }
    }
}
