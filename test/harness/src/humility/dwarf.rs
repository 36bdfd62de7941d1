//! Reads the types and variables of a program from its DWARF.

use super::types::{DebugInfo, Member, Struct, Type, Variable, Variant};
use anyhow::Result;
use gimli::{AttributeValue, DwAt, EndianSlice, LittleEndian, constants as dw};
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeMap;

type Slice<'a> = EndianSlice<'a, LittleEndian>;
type Die<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;
type Unit<'a> = gimli::Unit<Slice<'a>>;

/// Reads the debug information and the symbols of a program.
pub fn read(elf: &[u8]) -> Result<DebugInfo> {
    let file = object::File::parse(elf)?;
    let symbols: BTreeMap<&str, (u32, u32)> = file
        .symbols()
        .filter(|symbol| symbol.size() > 0 && symbol.section_index().is_some())
        .filter_map(|it| Some((it.name().ok()?, (it.address() as u32, it.size() as u32))))
        .collect();
    let section = |id: gimli::SectionId| -> Result<Slice<'_>> {
        let found = file.section_by_name(id.name());
        let data = found.map(|section| section.data()).transpose()?;
        Ok(EndianSlice::new(data.unwrap_or(&[]), LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section)?;
    let mut debug = DebugInfo::default();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        Reader {
            dwarf: &dwarf,
            unit: &unit,
            symbols: &symbols,
            debug: &mut debug,
            open: Vec::new(),
        }
        .read()?;
    }
    Ok(debug)
}

struct Open {
    depth: isize,
    tag: gimli::DwTag,
    at: usize,
    name: String,
}

struct Reader<'r, 'a> {
    dwarf: &'r gimli::Dwarf<Slice<'a>>,
    unit: &'r Unit<'a>,
    symbols: &'r BTreeMap<&'a str, (u32, u32)>,
    debug: &'r mut DebugInfo,
    open: Vec<Open>,
}

impl<'a> Reader<'_, 'a> {
    fn read(mut self) -> Result<()> {
        let mut entries = self.unit.entries();
        while let Some(entry) = entries.next_dfs()? {
            let depth = entry.depth();
            self.open.retain(|outer| outer.depth < depth);
            let at = self.offset(entry.offset());
            let name = self.string(entry, dw::DW_AT_name).unwrap_or_default();
            self.take(entry, at, &name);
            self.open.push(Open {
                depth,
                tag: entry.tag(),
                at,
                name,
            });
        }
        Ok(())
    }

    fn take(&mut self, entry: &Die<'a>, at: usize, name: &str) {
        let number = |name| number(entry, name);
        let size = number(dw::DW_AT_byte_size).unwrap_or_default() as u32;
        let ty = self.reference(entry, dw::DW_AT_type);
        let name = name.to_owned();
        let new = match entry.tag() {
            dw::DW_TAG_base_type => match entry.attr_value(dw::DW_AT_encoding) {
                Some(AttributeValue::Encoding(
                    dw::DW_ATE_signed | dw::DW_ATE_unsigned | dw::DW_ATE_float | dw::DW_ATE_boolean,
                )) => Type::Base { size },
                _ => Type::Unknown(name),
            },
            dw::DW_TAG_structure_type => Type::Struct(Struct {
                name,
                size,
                ..Struct::default()
            }),
            dw::DW_TAG_enumeration_type => Type::Enum {
                size,
                variants: Vec::new(),
            },
            dw::DW_TAG_union_type => Type::Union {
                name,
                members: Vec::new(),
            },
            dw::DW_TAG_array_type => Type::Array {
                element: ty.unwrap_or_default(),
                count: 0,
            },
            dw::DW_TAG_pointer_type => Type::Pointer,
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_subroutine_type => Type::Unknown(entry.tag().to_string()),
            dw::DW_TAG_variable => return self.variable(entry, name, ty),
            _ => return self.part(entry, name, ty),
        };
        self.debug.types.insert(at, new);
    }

    /// Adds an entry to the innermost type around it.
    fn part(&mut self, entry: &Die<'a>, name: String, ty: Option<usize>) {
        let outer = self.open.last().map(|outer| outer.tag);
        let owner = self.open.iter().rev().find(|outer| {
            matches!(
                outer.tag,
                dw::DW_TAG_structure_type
                    | dw::DW_TAG_union_type
                    | dw::DW_TAG_enumeration_type
                    | dw::DW_TAG_array_type
            )
        });
        let Some(owner) = owner.and_then(|owner| self.debug.types.get_mut(&owner.at)) else {
            return;
        };
        let place = number(entry, dw::DW_AT_data_member_location).map(|offset| offset as u32);
        let member = place.zip(ty).map(|(offset, ty)| Member {
            name: name.clone(),
            offset,
            ty,
        });
        match (entry.tag(), owner) {
            (dw::DW_TAG_subrange_type, Type::Array { count, .. }) => {
                *count = number(entry, dw::DW_AT_count).unwrap_or_default() as u32;
            }
            (dw::DW_TAG_enumerator, Type::Enum { variants, .. }) => {
                let value = signed(entry, dw::DW_AT_const_value).unwrap_or_default();
                variants.push((value, name));
            }
            (dw::DW_TAG_variant, Type::Struct(it)) => it.variants.push(Variant {
                value: signed(entry, dw::DW_AT_discr_value),
                content: None,
            }),
            (dw::DW_TAG_member, Type::Union { members, .. }) => members.extend(member),
            (dw::DW_TAG_member, Type::Struct(it)) => match outer {
                Some(dw::DW_TAG_variant_part) => it.discriminant = member,
                Some(dw::DW_TAG_variant) => {
                    if let Some(variant) = it.variants.last_mut() {
                        variant.content = member;
                    }
                }
                _ => it.members.extend(member),
            },
            _ => {}
        }
    }

    /// Adds a variable that is external or has a linkage name; its address is that of the symbol.
    fn variable(&mut self, entry: &Die<'a>, name: String, ty: Option<usize>) {
        let linkage = self.string(entry, dw::DW_AT_linkage_name);
        let external = entry.attr(dw::DW_AT_external).is_some() || linkage.is_some();
        let symbol = linkage.as_deref().unwrap_or(&name);
        let place = self.symbols.get(symbol).copied();
        let (Some((address, size)), Some(ty), true) = (place, ty, external && !name.is_empty())
        else {
            return;
        };
        let spaces = self
            .open
            .iter()
            .filter(|outer| outer.tag == dw::DW_TAG_namespace);
        let mut path: Vec<&str> = spaces.map(|outer| outer.name.as_str()).collect();
        path.push(&name);
        let path = path.join("::");
        if !self.debug.variables.contains_key(&address) {
            self.debug.by_name.push(address);
            let variable = Variable {
                name,
                path,
                ty,
                address,
                size,
            };
            self.debug.variables.insert(address, variable);
        }
    }

    fn offset(&self, offset: gimli::UnitOffset) -> usize {
        let whole = offset.to_debug_info_offset(&self.unit.header);
        whole.map_or(0, |offset| offset.0)
    }

    fn reference(&self, entry: &Die<'a>, name: DwAt) -> Option<usize> {
        match entry.attr_value(name)? {
            AttributeValue::UnitRef(at) => Some(self.offset(at)),
            AttributeValue::DebugInfoRef(at) => Some(at.0),
            _ => None,
        }
    }

    /// A name in the form of DWARF 4, an offset into `.debug_str`; Humility reads no other form.
    fn string(&self, entry: &Die<'a>, name: DwAt) -> Option<String> {
        let value = entry.attr_value_raw(name)?;
        let AttributeValue::DebugStrRef(_) = value else {
            return None;
        };
        let text = self.dwarf.attr_string(self.unit, value).ok()?;
        Some(String::from_utf8_lossy(text.slice()).into_owned())
    }
}

fn number(entry: &Die<'_>, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn signed(entry: &Die<'_>, name: DwAt) -> Option<i64> {
    let value = entry.attr_value(name)?;
    value
        .udata_value()
        .map(|value| value as i64)
        .or_else(|| value.sdata_value())
}
