//! Small build archives for the tests: ELF files with one function each.

use gimli::write::{Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, Sections};
use gimli::{DW_AT_high_pc, DW_AT_low_pc, DW_AT_name, DW_TAG_subprogram, Encoding, Format};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind};
use object::{SymbolFlags, SymbolKind, SymbolScope};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Where the function of each program is: the registers of the tests' crashes point into it.
const TEXT: u64 = 0x8080_0000;
const TEXT_LEN: u64 = 0x1000;

/// The content of an archive.
pub struct Build<'a> {
    /// `HUBRIS_IMAGE_ID`; `None`: the kernel has no such symbol.
    pub id: Option<u64>,
    /// The name of each task and of its one function; `None`: there is no debug information.
    pub tasks: &'a [(&'a str, Option<&'a str>)],
}

impl Build<'_> {
    pub fn write(&self, path: &Path) {
        let file = File::create(path).expect("archive");
        let mut zip = ZipWriter::new(file);
        zip.set_comment("hubris build archive v11")
            .expect("comment");
        let mut add = |name: &str, bytes: &[u8]| {
            zip.start_file(name, SimpleFileOptions::default())
                .and_then(|()| Ok(zip.write_all(bytes)?))
                .expect("member");
        };
        add(
            "app.toml",
            b"chip = \"x\"\nname = \"test-app\"\n[kernel]\nname = \"k\"\n",
        );
        add("image-name", b"default");
        add("git-rev", b"2cf33c0f7280bf4b8391227169654265a2864fee");
        for (task, function) in self.tasks {
            add(&format!("elf/task/{task}"), &elf(*function, None));
        }
        add("elf/kernel", &elf(Some("kernel_main"), self.id));
        zip.finish().expect("archive");
    }
}

fn elf(function: Option<&str>, id: Option<u64>) -> Vec<u8> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Arm, Endianness::Little);
    elf.add_section(Vec::new(), b".text".to_vec(), SectionKind::Text);
    if let Some(id) = id {
        let section = elf.add_section(Vec::new(), b".rodata".to_vec(), SectionKind::ReadOnlyData);
        let offset =
            elf.append_section_data(section, &[&[0; 8], &id.to_le_bytes()[..]].concat(), 8);
        elf.add_symbol(Symbol {
            name: b"HUBRIS_IMAGE_ID".to_vec(),
            value: offset + 8,
            size: 8,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    if let Some(function) = function {
        debug_information(&mut elf, function);
    }
    elf.write().expect("ELF")
}

fn debug_information(elf: &mut Object<'_>, function: &str) {
    let encoding = Encoding {
        format: Format::Dwarf32,
        version: 4,
        address_size: 4,
    };
    let mut dwarf = DwarfUnit::new(encoding);
    dwarf.unit.line_program = LineProgram::none();
    let root = dwarf.unit.root();
    let entry = dwarf.unit.add(root, DW_TAG_subprogram);
    for id in [root, entry] {
        let entry = dwarf.unit.get_mut(id);
        let start = AttributeValue::Address(Address::Constant(TEXT));
        entry.set(DW_AT_low_pc, start);
        entry.set(DW_AT_high_pc, AttributeValue::Udata(TEXT_LEN));
    }
    let name = AttributeValue::String(function.as_bytes().to_vec());
    dwarf.unit.get_mut(entry).set(DW_AT_name, name);
    let mut sections = Sections::new(EndianVec::new(gimli::LittleEndian));
    dwarf.write(&mut sections).expect("DWARF");
    sections
        .for_each(|id, bytes| {
            let name = id.name().as_bytes().to_vec();
            let section = elf.add_section(Vec::new(), name, SectionKind::Debug);
            elf.set_section_data(section, bytes.slice().to_vec(), 1);
            Ok::<_, gimli::Error>(())
        })
        .expect("sections");
}
