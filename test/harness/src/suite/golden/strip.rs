//! Makes programs of a build archive small enough for the tree.
//!
//! Of the debug information it leaves what the host tool reads: functions with what is inlined into
//! them, lines, call frames, and static variables with their types. Parameters, local variables,
//! and types that only those have are most of it, and go.

use anyhow::{Context, Result};
use gimli::write::{Address, ConvertUnit, ConvertUnitEntry, EndianVec, Sections, UnitEntryId};
use gimli::{
    AttributeValue, DebuggingInformationEntry, DwAt, DwTag, Dwarf, EndianSlice, LittleEndian,
    constants as dw,
};
use object::build::elf::{Builder, SectionData};
use object::{Object, ObjectSection};
use std::collections::{BTreeMap, BTreeSet};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Sections of debug information that stay as they are.
const FRAMES: &[u8] = b".debug_frame";

/// A block inside of a function.
const BLOCK: DwTag = dw::DW_TAG_lexical_block;

/// Attributes that nothing reads.
const UNUSED: [DwAt; 13] = [
    dw::DW_AT_decl_file,
    dw::DW_AT_decl_line,
    dw::DW_AT_decl_column,
    dw::DW_AT_call_column,
    dw::DW_AT_alignment,
    dw::DW_AT_external,
    dw::DW_AT_frame_base,
    dw::DW_AT_noreturn,
    dw::DW_AT_prototyped,
    dw::DW_AT_accessibility,
    dw::DW_AT_containing_type,
    dw::DW_AT_const_expr,
    dw::DW_AT_GNU_all_call_sites,
];

/// An entry of the debug information.
struct Entry {
    tag: DwTag,
    parent: Option<usize>,
    /// The entries that it refers to.
    needs: Vec<usize>,
    /// Whether it stays whatever refers to it.
    is_root: bool,
}

/// The program without what the host tool does not read. Of the types that no static variable has,
/// those of these names stay, too.
pub fn program(elf: &[u8], types: &[&str]) -> Result<Vec<u8>> {
    let new = debug_information(elf, types)?;
    let mut builder = Builder::read(elf)?;
    for section in &mut builder.sections {
        let name = section.name.to_vec();
        if let Some(bytes) = new.get(&name) {
            section.data = SectionData::Data(bytes.as_slice().into());
        } else if name.starts_with(b".debug_") && name != FRAMES {
            section.delete = true;
        }
    }
    let mut small = Vec::new();
    builder.write(&mut small)?;
    Ok(small)
}

/// The new sections by name.
fn debug_information(elf: &[u8], types: &[&str]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let file = object::File::parse(elf)?;
    let dwarf = Dwarf::load(|id| {
        let data = file.section_by_name(id.name());
        let data = data.map_or(Ok(&[][..]), |section| section.data())?;
        Ok::<_, object::Error>(Slice::new(data, LittleEndian))
    })?;
    let kept = kept(&entries(&dwarf, types)?);
    let mut new = gimli::write::Dwarf::new();
    let mut convert = new.convert(&dwarf)?;
    while let Some((mut unit, root)) = convert.read_unit()? {
        if let Some(lines) = unit.read_line_program(None, None)? {
            let (lines, files) = lines.convert(&same)?;
            unit.set_line_program(lines, files);
        }
        let id = unit.unit.root();
        attributes(&mut unit, id, &root)?;
        let mut entry = root;
        while let Some(id) = unit.read_entry(&mut entry)? {
            let offset = entry.offset.to_debug_info_offset(&entry.read_unit.header);
            if kept.contains(&offset.context("an entry of another section")?.0) {
                let id = unit.add_entry(id, &entry);
                attributes(&mut unit, id, &entry)?;
            }
        }
    }
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    new.write(&mut sections)?;
    let mut all = BTreeMap::new();
    sections.for_each(|id, bytes| {
        if !bytes.slice().is_empty() {
            all.insert(id.name().as_bytes().to_vec(), bytes.slice().to_vec());
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(all)
}

/// Addresses stay the same.
fn same(address: u64) -> Option<Address> {
    Some(Address::Constant(address))
}

fn attributes<'a>(
    unit: &mut ConvertUnit<'_, Slice<'a>>,
    id: UnitEntryId,
    entry: &ConvertUnitEntry<'_, Slice<'a>>,
) -> Result<()> {
    for attribute in &entry.attrs {
        if is_used(entry, attribute.name()) {
            let value = unit.convert_attribute_value(entry.read_unit, attribute, &same)?;
            unit.unit.get_mut(id).set(attribute.name(), value);
        }
    }
    Ok(())
}

/// Whether the host tool reads this attribute of an entry.
fn is_used(entry: &DebuggingInformationEntry<Slice<'_>>, name: DwAt) -> bool {
    let is_function = entry.tag() == dw::DW_TAG_subprogram;
    match name {
        _ if entry.tag() == BLOCK => false,
        dw::DW_AT_type => !is_function && entry.tag() != dw::DW_TAG_pointer_type,
        // The linkage name has it.
        dw::DW_AT_name if is_function => entry.attr_value(dw::DW_AT_linkage_name).is_none(),
        name => !UNUSED.contains(&name),
    }
}

/// All entries, by their offsets.
fn entries(dwarf: &Dwarf<Slice<'_>>, types: &[&str]) -> Result<BTreeMap<usize, Entry>> {
    let mut all = BTreeMap::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let global = |offset: gimli::UnitOffset| {
            offset
                .to_debug_info_offset(&unit.header)
                .map(|offset| offset.0)
        };
        // The offset and depth of each entry around the next one.
        let mut around: Vec<(isize, usize)> = Vec::new();
        let mut read = unit.entries();
        while let Some(entry) = read.next_dfs()? {
            while around
                .last()
                .is_some_and(|(depth, _)| *depth >= entry.depth())
            {
                around.pop();
            }
            let offset = global(entry.offset()).context("an entry of another section")?;
            let mut needs = Vec::new();
            for attribute in &entry.attrs {
                let target = match attribute.value() {
                    AttributeValue::UnitRef(at) => global(at),
                    AttributeValue::DebugInfoRef(at) => Some(at.0),
                    _ => None,
                };
                needs.extend(target.filter(|_| is_used(entry, attribute.name())));
            }
            let has = |name| entry.attr_value(name).is_some();
            let name = entry.attr_value(dw::DW_AT_name);
            let name = name.and_then(|name| dwarf.attr_string(&unit, name).ok());
            let is_in_function = around.iter().any(|(_, offset)| {
                let outer: Option<&Entry> = all.get(offset);
                outer.is_some_and(|outer| outer.tag == dw::DW_TAG_subprogram)
            });
            let is_root = match entry.tag() {
                dw::DW_TAG_compile_unit => true,
                dw::DW_TAG_subprogram => has(dw::DW_AT_low_pc) || has(dw::DW_AT_ranges),
                // A static of a function has a linkage name, as its local variables have not.
                dw::DW_TAG_variable => has(dw::DW_AT_linkage_name) || !is_in_function,
                dw::DW_TAG_structure_type | dw::DW_TAG_enumeration_type => {
                    name.is_some_and(|own| types.iter().any(|name| name.as_bytes() == own.slice()))
                }
                _ => false,
            };
            let parent = around.last().map(|(_, offset)| *offset);
            all.insert(
                offset,
                Entry {
                    tag: entry.tag(),
                    parent,
                    needs,
                    is_root,
                },
            );
            around.push((entry.depth(), offset));
        }
    }
    Ok(all)
}

/// The offsets of what stays.
fn kept(all: &BTreeMap<usize, Entry>) -> BTreeSet<usize> {
    let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (offset, entry) in all {
        let Some(mut parent) = entry.parent else {
            continue;
        };
        // A block stays only for what is inlined into it.
        while let Some(block) = all.get(&parent).filter(|outer| outer.tag == BLOCK) {
            parent = block.parent.unwrap_or_default();
        }
        let outer = all.get(&parent);
        if outer.is_some_and(|outer| is_part(outer.tag, entry.tag)) {
            children.entry(parent).or_default().push(*offset);
        }
    }
    let roots = all.iter().filter(|(_, entry)| entry.is_root);
    let mut queue: Vec<usize> = roots.map(|(offset, _)| *offset).collect();
    let mut kept = BTreeSet::new();
    while let Some(offset) = queue.pop() {
        let Some(entry) = all.get(&offset) else {
            continue;
        };
        if kept.insert(offset) {
            queue.extend(&entry.needs);
            queue.extend(entry.parent);
            queue.extend(children.get(&offset).into_iter().flatten());
        }
    }
    kept
}

/// Whether an entry stays if the one around it does.
fn is_part(outer: DwTag, tag: DwTag) -> bool {
    match outer {
        dw::DW_TAG_structure_type
        | dw::DW_TAG_union_type
        | dw::DW_TAG_enumeration_type
        | dw::DW_TAG_array_type
        | dw::DW_TAG_variant_part
        | dw::DW_TAG_variant => [
            dw::DW_TAG_member,
            dw::DW_TAG_variant_part,
            dw::DW_TAG_variant,
            dw::DW_TAG_enumerator,
            dw::DW_TAG_subrange_type,
        ]
        .contains(&tag),
        dw::DW_TAG_subprogram | dw::DW_TAG_inlined_subroutine => {
            tag == dw::DW_TAG_inlined_subroutine
        }
        _ => false,
    }
}
