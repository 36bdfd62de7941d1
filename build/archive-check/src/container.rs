//! The zip file, its members and the image

use super::{Report, Topic};
use anyhow::{Context, Result};
use object::LittleEndian;
use object::elf::{EM_ARM, ET_REL, FileHeader32, PT_LOAD, SHF_ALLOC, SHF_WRITE, SHT_PROGBITS};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use std::io::{Cursor, Read};
use toml::Table;
use zip::{CompressionMethod, ZipArchive};

/// The newest version of archives that Humility accepts.
const NEWEST_VERSION: u32 = 11;

/// Members that Humility needs, to load the archive or for its commands.
const WANTED: [&str; 6] = [
    "app.toml",
    "elf/kernel",
    "img/final.elf",
    "img/flash.ron",
    "memory.toml",
    "chip.toml",
];

/// A member.
#[derive(Debug)]
pub struct Member {
    /// Its path in the archive.
    pub name: String,
    /// Unpacked.
    pub bytes: Vec<u8>,
}

/// An archive in memory.
#[derive(Debug, Default)]
pub struct Archive {
    /// Comment of the zip file. Humility recognises a build archive by it.
    pub comment: Vec<u8>,
    /// In order.
    pub members: Vec<Member>,
    /// `app.toml`; empty if it is missing or no TOML.
    pub app: Table,
}

/// A range of flash.
#[derive(Debug)]
pub struct Flash<'a> {
    /// Of the first byte.
    pub address: u32,
    /// Content.
    pub bytes: &'a [u8],
}

impl Archive {
    /// Unpacks everything.
    pub fn open(bytes: Vec<u8>, report: &mut Report) -> Result<Self> {
        let mut zip =
            ZipArchive::new(Cursor::new(bytes)).context("no zip file, as ./x dist makes it")?;
        let mut archive = Self {
            comment: zip.comment().to_vec(),
            ..Self::default()
        };
        for index in 0..zip.len() {
            let mut file = zip.by_index(index).context("a member cannot be read")?;
            let name = file.name()?.into_owned();
            if !matches!(
                file.compression(),
                CompressionMethod::Stored | CompressionMethod::Deflated | CompressionMethod::Bzip2
            ) {
                report.add(
                    &name,
                    Topic::Archive,
                    format!(
                        "is packed with {}; use deflate or bzip2",
                        file.compression()
                    ),
                );
            }
            if !file.is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)
                .with_context(|| format!("{name}: cannot be unpacked"))?;
            archive.members.push(Member { name, bytes });
        }
        archive.app = archive.table("app.toml", report).unwrap_or_default();
        Ok(archive)
    }

    /// The bytes of a member.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let member = self.members.iter().find(|member| member.name == name)?;
        Some(&member.bytes)
    }

    /// Names of the members that are tasks, in order: every member whose folder is called `task`.
    pub fn tasks(&self) -> Vec<String> {
        let is_task = |name: &&str| name.rsplit('/').nth(1) == Some("task");
        let names = self.members.iter().map(|member| member.name.as_str());
        names.filter(is_task).map(String::from).collect()
    }

    /// The kernel and the tasks.
    pub fn programs(&self) -> Vec<String> {
        let kernel = self.get("elf/kernel").map(|_| "elf/kernel".to_string());
        kernel.into_iter().chain(self.tasks()).collect()
    }

    /// A member parsed as TOML; one that is no TOML is reported.
    pub fn table(&self, name: &str, report: &mut Report) -> Option<Table> {
        let text = std::str::from_utf8(self.get(name)?);
        let table = text.ok().and_then(|text| text.parse().ok());
        if table.is_none() {
            report.add(name, Topic::Configuration, "is no TOML");
        }
        table
    }

    /// The content of flash: every PROGBITS section of the image.
    pub fn flash(&self) -> Vec<Flash<'_>> {
        let endian = LittleEndian;
        let Some(data) = self.get("img/final.elf") else {
            return Vec::new();
        };
        let Ok(header) = FileHeader32::<LittleEndian>::parse(data) else {
            return Vec::new();
        };
        let sections = header.section_headers(endian, data).unwrap_or(&[]);
        let content = sections
            .iter()
            .filter(|section| section.sh_type(endian) == SHT_PROGBITS)
            .filter_map(|section| {
                Some(Flash {
                    address: section.sh_addr(endian),
                    bytes: section.data(endian, data).ok()?,
                })
            });
        content.collect()
    }

    /// `length` bytes of flash.
    pub fn read_flash(&self, address: u32, length: usize) -> Option<&[u8]> {
        self.flash().into_iter().find_map(|flash| {
            let at = usize::try_from(address.checked_sub(flash.address)?).ok()?;
            flash.bytes.get(at..at.checked_add(length)?)
        })
    }
}

/// Checks everything but configuration and programs.
pub(crate) fn check(archive: &Archive, report: &mut Report) {
    comment(archive, report);
    for name in WANTED {
        if archive.get(name).is_none() {
            report.add("archive", Topic::Archive, format!("has no member {name}"));
        }
    }
    if let Some(text) = archive.get("img/flash.ron") {
        let parsed = std::str::from_utf8(text)
            .ok()
            .map(ron::from_str::<FlashRon>);
        if !matches!(parsed, Some(Ok(_))) {
            report.add(
                "img/flash.ron",
                Topic::Archive,
                "is no RON with a field `chip`",
            );
        }
    }
    for name in ["git-rev", "image-name"] {
        if archive
            .get(name)
            .is_some_and(|bytes| std::str::from_utf8(bytes).is_err())
        {
            report.add(name, Topic::Archive, "is no UTF-8");
        }
    }
    final_elf(archive, report);
}

/// `img/flash.ron`.
#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "only whether it can be read is of interest")]
struct FlashRon {
    chip: Option<String>,
}

fn comment(archive: &Archive, report: &mut Report) {
    let text = std::str::from_utf8(&archive.comment).unwrap_or_default();
    let version = text
        .strip_prefix("hubris build archive v")
        .filter(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|rest| rest.parse::<u32>().ok());
    match version {
        Some(version) if version <= NEWEST_VERSION => {}
        Some(version) => report.add(
            "archive",
            Topic::Archive,
            format!("has version {version}; Humility takes none above {NEWEST_VERSION}"),
        ),
        None => report.add(
            "archive",
            Topic::Archive,
            format!("has the comment {text:?}; it must be `hubris build archive v{NEWEST_VERSION}` and nothing else"),
        ),
    }
}

fn final_elf(archive: &Archive, report: &mut Report) {
    let name = "img/final.elf";
    let Some(data) = archive.get(name) else {
        return;
    };
    let endian = LittleEndian;
    let Ok(header) = FileHeader32::<LittleEndian>::parse(data) else {
        report.add(name, Topic::Image, "is no 32-bit ELF file");
        return;
    };
    let mut add = |what: String| report.add(name, Topic::Image, what);
    if header.e_machine.get(endian) != EM_ARM || header.e_type.get(endian) != ET_REL {
        add("its type must be ET_REL and its machine EM_ARM, as upstream's".into());
    }
    let Ok(sections) = header.section_headers(endian, data) else {
        add("its sections cannot be read".into());
        return;
    };
    let mut content: Vec<(u32, u32)> = Vec::new();
    for section in sections {
        if section.sh_type(endian) != SHT_PROGBITS {
            continue;
        }
        let (start, size) = (section.sh_addr(endian), section.sh_size(endian));
        let end = start.saturating_add(size);
        if section.sh_flags(endian) != (SHF_WRITE | SHF_ALLOC) {
            add(format!(
                "the section at {start:#x} has other flags than WRITE and ALLOC; hubtools would leave it out"
            ));
        }
        if content
            .iter()
            .any(|(first, last)| start < *last && *first < end)
        {
            add(format!(
                "two sections overlap at {start:#x}; leave out debug sections"
            ));
        }
        if section.data(endian, data).is_err() {
            add(format!("the section at {start:#x} lies outside the file"));
        }
        content.push((start, end));
    }
    if content.is_empty() {
        add("has no PROGBITS section, so there is nothing in flash".into());
    }
    let loads = header.program_headers(endian, data).unwrap_or(&[]);
    let loads: Vec<(u32, u32)> = loads
        .iter()
        .filter(|load| load.p_type(endian) == PT_LOAD && load.p_filesz(endian) > 0)
        .map(|load| {
            (
                load.p_paddr(endian),
                load.p_paddr(endian).saturating_add(load.p_filesz(endian)),
            )
        })
        .collect();
    let mut sorted = content.clone();
    sorted.sort_unstable();
    if !loads.is_empty() && loads.first().map(|l| l.0) != sorted.first().map(|c| c.0)
        || loads.last().map(|l| l.1) != sorted.last().map(|c| c.1)
    {
        add("its PT_LOAD does not cover its sections; `humility flash` verifies by it".into());
    }
    let entry = header.e_entry.get(endian) & !1;
    if !content
        .iter()
        .any(|(start, end)| (start..end).contains(&&entry))
    {
        add(format!("its entry {entry:#x} is not in flash"));
    }
}
