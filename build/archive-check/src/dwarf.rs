//! Types and variables of one program, read from its DWARF as Humility reads it
//!
//! Entries and attributes that Humility would refuse, or not understand, are reported while
//! reading.

pub use super::types::{Debug, Member, Struct, Type, Variable};
use super::{Report, Topic};
use anyhow::Result;
use gimli::{AttributeValue, DwAt, DwTag, EndianSlice, LittleEndian, Section, constants as dw};
use object::{Object, ObjectSection};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;
type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;

impl Debug {
    /// Reads the debug information of `file`. Broken rules are reported for the member `object`.
    pub fn read<'a>(file: &impl Object<'a>, object: &str, report: &mut Report) -> Result<Self> {
        let section = |id: gimli::SectionId| -> Result<Slice<'a>> {
            let section = file.section_by_name(id.name());
            let data = section.map(|section| section.data()).transpose()?;
            Ok(EndianSlice::new(data.unwrap_or(&[]), LittleEndian))
        };
        let dwarf = Dwarf::load(section)?;
        let mut reader = Reader {
            dwarf: &dwarf,
            has_ranges: file.section_by_name(".debug_ranges").is_some(),
            object,
            report,
            debug: Self::default(),
        };
        reader.versions(dwarf.debug_info.reader().slice());
        if let Err(cause) = reader.units() {
            reader.broken(format!("its debug information cannot be read: {cause:#}"));
        }
        Ok(reader.debug)
    }
}

/// An entry whose children are being read.
struct Open {
    depth: isize,
    tag: DwTag,
    /// Its offset, if it is a type.
    at: usize,
    name: String,
}

struct Reader<'r, 'a> {
    dwarf: &'r Dwarf<'a>,
    has_ranges: bool,
    object: &'r str,
    report: &'r mut Report,
    debug: Debug,
}

impl<'a> Reader<'_, 'a> {
    /// Checks the version of each unit (DWARF 4, section 7.5.1.1).
    fn versions(&mut self, mut units: &[u8]) {
        while let [a, b, c, d, e, f, ..] = units {
            let version = u16::from_le_bytes([*e, *f]);
            if version > 4 {
                self.broken(format!(
                    "a compile unit has DWARF version {version}, and Humility reads names of version 4; build with \
                     -Cdwarf-version=4"
                ));
            }
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            units = units.get(length.saturating_add(4)..).unwrap_or(&[]);
        }
    }

    fn units(&mut self) -> Result<()> {
        let dwarf = self.dwarf;
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            self.unit(&dwarf.unit(header)?)?;
        }
        Ok(())
    }

    fn unit(&mut self, unit: &Unit<'a>) -> Result<()> {
        let files = unit
            .line_program
            .as_ref()
            .map_or(0, |program| program.header().file_names().len() as u64);
        let mut open: Vec<Open> = Vec::new();
        let mut entries = unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            open.retain(|outer| outer.depth < depth);
            self.forms(unit, entry, files);
            self.entry(unit, entry, &open)?;
            open.push(Open {
                depth,
                tag: entry.tag(),
                at: offset(unit, entry),
                name: self.name(unit, entry).unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn broken(&mut self, what: String) {
        self.report.add(self.object, Topic::DebugInformation, what);
    }

    /// Checks the forms of an entry's attributes.
    fn forms(&mut self, unit: &Unit<'a>, entry: &Entry<'a>, files: u64) {
        let at = offset(unit, entry);
        let is_unit = entry.tag() == dw::DW_TAG_compile_unit;
        let raw = |name: DwAt| entry.attr_value_raw(name);
        // The assembler writes the names of its units in line. Humility does not look these up.
        if let Some(name) = raw(dw::DW_AT_name)
            && !is_unit
            && entry.tag() != dw::DW_TAG_label
            && !matches!(name, AttributeValue::DebugStrRef(_))
        {
            self.broken(format!(
                "{} at {at:#x}: its name is not in form strp, so Humility does not see it; build with -Cdwarf-version=4",
                entry.tag()
            ));
        }
        if let Some(low) = raw(dw::DW_AT_low_pc)
            && !matches!(low, AttributeValue::Addr(_))
        {
            self.broken(format!("{} at {at:#x}: low_pc is no address", entry.tag()));
        }
        if let Some(high) = raw(dw::DW_AT_high_pc)
            && !matches!(
                high,
                AttributeValue::Data1(_)
                    | AttributeValue::Data2(_)
                    | AttributeValue::Data4(_)
                    | AttributeValue::Data8(_)
                    | AttributeValue::Udata(_)
            )
            && !is_unit
        {
            self.broken(format!(
                "{} at {at:#x}: high_pc is no constant",
                entry.tag()
            ));
        }
        if let Some(ranges) = raw(dw::DW_AT_ranges)
            && !matches!(
                ranges,
                AttributeValue::SecOffset(_) | AttributeValue::RangeListsRef(_)
            )
        {
            self.broken(format!("{} at {at:#x}: ranges is no offset", entry.tag()));
        }
        if raw(dw::DW_AT_ranges).is_some() && !self.has_ranges {
            self.has_ranges = true;
            self.broken("has .debug_info but no .debug_ranges, to which that refers".into());
        }
        if let Some(file) = raw(dw::DW_AT_decl_file).and_then(|value| value.udata_value())
            && file > files
        {
            self.broken(format!(
                "{} at {at:#x}: decl_file {file} is not in the unit's line table, which has {files} files",
                entry.tag()
            ));
        }
        if entry.tag() == dw::DW_TAG_inlined_subroutine {
            let has = |name| entry.attr(name).is_some();
            let place = has(dw::DW_AT_ranges) || has(dw::DW_AT_low_pc) && has(dw::DW_AT_high_pc);
            if !has(dw::DW_AT_abstract_origin) || !place {
                self.broken(format!(
                    "inlined subroutine at {at:#x}: it needs an origin, and low and high address or ranges"
                ));
            }
        }
    }

    /// Adds a type, a member or a variable.
    fn entry(&mut self, unit: &Unit<'a>, entry: &Entry<'a>, open: &[Open]) -> Result<()> {
        let at = offset(unit, entry);
        let name = self.name(unit, entry);
        let size = number(entry, dw::DW_AT_byte_size);
        let ty = reference(unit, entry, dw::DW_AT_type);
        // A declaration refers to a type that is defined elsewhere.
        if entry.attr(dw::DW_AT_declaration).is_some() && entry.tag() != dw::DW_TAG_variable {
            return Ok(());
        }
        match entry.tag() {
            dw::DW_TAG_base_type => {
                let encoding = match entry.attr_value(dw::DW_AT_encoding) {
                    Some(AttributeValue::Encoding(encoding)) => Some(encoding),
                    _ => None,
                };
                let size = size.unwrap_or_default();
                let readable = matches!(
                    encoding,
                    Some(
                        dw::DW_ATE_signed
                            | dw::DW_ATE_unsigned
                            | dw::DW_ATE_float
                            | dw::DW_ATE_boolean
                    )
                );
                let name = name.unwrap_or_default();
                self.insert(
                    at,
                    Type::Base {
                        name,
                        size,
                        readable,
                    },
                );
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type => {
                let (Some(name), Some(size)) = (name, size) else {
                    self.incomplete("structure", at, "a name and a size");
                    return Ok(());
                };
                let spaces = open
                    .iter()
                    .filter(|outer| outer.tag == dw::DW_TAG_namespace);
                let mut path: Vec<&str> = spaces.map(|outer| outer.name.as_str()).collect();
                path.push(&name);
                let path = path.join("::");
                self.insert(
                    at,
                    Type::Struct(Struct {
                        name,
                        path,
                        size,
                        ..Struct::default()
                    }),
                );
            }
            dw::DW_TAG_union_type => {
                if name.is_none() || size.is_none() {
                    self.incomplete("union", at, "a name and a size");
                }
                let name = name.unwrap_or_default();
                self.insert(
                    at,
                    Type::Union {
                        name,
                        members: Vec::new(),
                    },
                );
            }
            dw::DW_TAG_enumeration_type => {
                let (Some(name), Some(size), Some(_)) = (name, size, ty) else {
                    self.incomplete("enum", at, "a name, a size and a type");
                    return Ok(());
                };
                self.insert(
                    at,
                    Type::Enum {
                        name,
                        size,
                        variants: Vec::new(),
                    },
                );
            }
            dw::DW_TAG_enumerator => {
                if let Some(outer) = open.last()
                    && let Some(Type::Enum { variants, .. }) = self.debug.types.get_mut(&outer.at)
                {
                    variants.push(name.unwrap_or_default());
                }
            }
            dw::DW_TAG_array_type => {
                let element = ty.unwrap_or_default();
                self.insert(at, Type::Array { element, count: 0 });
            }
            dw::DW_TAG_subrange_type => {
                let found = number(entry, dw::DW_AT_count);
                if let Some(outer) = open.last()
                    && let Some(Type::Array { count, .. }) = self.debug.types.get_mut(&outer.at)
                {
                    *count = found.unwrap_or_default();
                }
                if found.is_none() {
                    self.incomplete("array", at, "a count");
                }
            }
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type => {
                if ty.is_none() {
                    self.incomplete("pointer", at, "a type");
                }
                self.insert(at, Type::Pointer { to: ty });
            }
            dw::DW_TAG_member => self.member(entry, open, at, name, ty),
            dw::DW_TAG_variable => {
                let linkage = self.string(unit, entry, dw::DW_AT_linkage_name);
                let external = entry.attr(dw::DW_AT_external).is_some() || linkage.is_some();
                if let (Some(name), Some(ty), true) = (name, ty, external) {
                    let linkage = linkage.unwrap_or_else(|| name.clone());
                    let placed = placed(entry);
                    self.debug.variables.push(Variable {
                        name,
                        linkage,
                        ty,
                        placed,
                    });
                }
            }
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_subroutine_type => {
                let tag = entry.tag().to_string();
                self.insert(at, Type::Other { tag });
            }
            _ => {}
        }
        Ok(())
    }

    fn member(
        &mut self,
        entry: &Entry<'a>,
        open: &[Open],
        at: usize,
        name: Option<String>,
        ty: Option<usize>,
    ) {
        let Some(outer) = open.last() else { return };
        // The discriminant has no name and is a member of no variant.
        if outer.tag == dw::DW_TAG_variant_part {
            return;
        }
        let offset = number(entry, dw::DW_AT_data_member_location);
        let (Some(name), Some(offset), Some(ty)) = (name, offset, ty) else {
            self.incomplete("member", at, "a name, a constant place and a type");
            return;
        };
        let member = Member { name, offset, ty };
        let owner = open.iter().rev().find(|outer| {
            outer.tag == dw::DW_TAG_structure_type || outer.tag == dw::DW_TAG_union_type
        });
        match owner.and_then(|owner| self.debug.types.get_mut(&owner.at)) {
            Some(Type::Struct(it)) if outer.tag == dw::DW_TAG_variant => it.variants.push(member),
            Some(Type::Struct(it)) => it.members.push(member),
            Some(Type::Union { members, .. }) => members.push(member),
            _ => {}
        }
    }

    fn insert(&mut self, at: usize, ty: Type) {
        self.debug.types.insert(at, ty);
    }

    fn incomplete(&mut self, what: &str, at: usize, needs: &str) {
        self.broken(format!(
            "{what} at {at:#x} needs {needs}; Humility refuses the file"
        ));
    }

    fn name(&self, unit: &Unit<'a>, entry: &Entry<'a>) -> Option<String> {
        self.string(unit, entry, dw::DW_AT_name)
    }

    fn string(&self, unit: &Unit<'a>, entry: &Entry<'a>, name: DwAt) -> Option<String> {
        let value = entry.attr_value(name)?;
        let text = self.dwarf.attr_string(unit, value).ok()?;
        Some(String::from_utf8_lossy(text.slice()).into_owned())
    }
}

/// Offset in `.debug_info`.
fn offset(unit: &Unit<'_>, entry: &Entry<'_>) -> usize {
    entry
        .offset()
        .to_debug_info_offset(&unit.header)
        .map_or(0, |offset| offset.0)
}

/// Whether a variable has an address. One that the linker has discarded has address 0.
fn placed(entry: &Entry<'_>) -> bool {
    const ADDRESS: u8 = dw::DW_OP_addr.0;
    match entry.attr_value(dw::DW_AT_location) {
        Some(AttributeValue::Exprloc(expression)) => match expression.0.slice() {
            [ADDRESS, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) != 0,
            _ => false,
        },
        _ => false,
    }
}

fn number(entry: &Entry<'_>, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn reference(unit: &Unit<'_>, entry: &Entry<'_>, name: DwAt) -> Option<usize> {
    match entry.attr_value(name)? {
        AttributeValue::UnitRef(at) => at.to_debug_info_offset(&unit.header).map(|offset| offset.0),
        AttributeValue::DebugInfoRef(at) => Some(at.0),
        _ => None,
    }
}
