//! Types and variables of a program, from its debug information: how values lie in memory.
//!
//! `value` reads values as they lie in memory, `typed` those that were encoded for the log.

use gimli::{
    AttributeValue, DebuggingInformationEntry, DwAt, DwTag, Dwarf, EndianArcSlice, LittleEndian,
    Unit, constants as dw,
};
use std::collections::{BTreeMap, HashMap};

/// The bytes that `gimli` reads; several readers share them.
pub type Slice = EndianArcSlice<LittleEndian>;

/// A reference to a type: its offset in `.debug_info`.
pub type TypeId = usize;

/// A type.
#[derive(Clone, Debug)]
pub enum Type {
    Base(BaseKind, u32),
    /// A structure, a tuple, or an enumeration with data.
    Struct(Struct),
    /// An enumeration without data: its name, its size; value and name of each variant.
    Enum(String, u32, Vec<(i64, String)>),
    Array(TypeId, u64),
    Pointer,
    /// Name, size, members.
    Union(String, u32, Vec<Member>),
    /// A type that is only another name of one.
    Alias(TypeId),
}

/// How a base type is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    Unsigned,
    /// `usize`, whose encoding for the log has another size than in memory.
    UnsignedPlace,
    Signed,
    /// `isize`.
    SignedPlace,
    Float,
    Bool,
    Char,
}

/// A structure, a tuple, or an enumeration with data.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    pub name: String,
    pub size: u32,
    pub members: Vec<Member>,
    /// Of an enumeration: what says which variant it is.
    pub discriminant: Option<Member>,
    pub variants: Vec<Variant>,
}

/// A member of a structure.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub offset: u32,
    pub ty: TypeId,
}

/// A variant: its discriminant, `None` if it has all others; and its content.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    pub value: Option<i64>,
    pub content: Option<Member>,
}

/// A variable with an address.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    /// Its name with modules.
    pub path: String,
    pub ty: TypeId,
    pub address: u32,
    pub size: u32,
}

/// The types and variables of a program.
#[derive(Debug, Default)]
pub struct DebugInfo {
    pub types: HashMap<TypeId, Type>,
    /// By address; the first of several at one.
    pub variables: BTreeMap<u32, Variable>,
}

impl DebugInfo {
    /// Reads what it can: damaged debug information gives fewer types. `symbols` has address and
    /// size of each symbol.
    pub fn read(dwarf: &Dwarf<Slice>, symbols: &HashMap<String, (u32, u32)>) -> Self {
        let mut debug = Self::default();
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let Ok(unit) = dwarf.unit(header) else {
                continue;
            };
            let mut reader = UnitReader {
                dwarf,
                unit: &unit,
                symbols,
                debug: &mut debug,
                open: Vec::new(),
            };
            reader.read();
        }
        debug
    }

    /// The first variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables
            .values()
            .find(|variable| variable.name == name)
    }

    /// A structure of this name that has all these members.
    pub fn structure(&self, name: &str, members: &[&str]) -> Option<(TypeId, &Struct)> {
        let fits = |it: &Struct| {
            it.name == name && members.iter().all(|member| it.member(member).is_some())
        };
        let all = self.types.iter().filter_map(|(id, ty)| match ty {
            Type::Struct(it) if fits(it) => Some((*id, it)),
            _ => None,
        });
        // One choice of several that are the same.
        all.min_by_key(|(id, _)| *id)
    }

    /// The type behind its other names.
    pub fn resolve(&self, id: TypeId) -> Option<&Type> {
        let mut ty = self.types.get(&id)?;
        // A name of a name of a name; damaged debug information may have a loop.
        for _ in 0..8 {
            match ty {
                Type::Alias(of) => ty = self.types.get(of)?,
                other => return Some(other),
            }
        }
        None
    }

    /// Bytes of a value of this type.
    pub fn size(&self, id: TypeId) -> Option<u32> {
        self.size_at(id, 0)
    }

    fn size_at(&self, id: TypeId, depth: u32) -> Option<u32> {
        if depth > 8 {
            return None;
        }
        Some(match self.resolve(id)? {
            Type::Base(_, size) | Type::Enum(_, size, _) | Type::Union(_, size, _) => *size,
            Type::Struct(it) => it.size,
            Type::Array(element, count) => {
                let element = self.size_at(*element, depth + 1)?;
                u32::try_from(*count).ok()?.checked_mul(element)?
            }
            Type::Pointer => 4,
            Type::Alias(_) => return None,
        })
    }
}

impl Struct {
    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Whether its members are called `__0`, `__1` and so on, or there are none.
    pub fn is_tuple(&self) -> bool {
        self.members.iter().all(|member| {
            let number = member.name.strip_prefix("__").unwrap_or("x");
            number.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

/// An entry whose children are being read.
struct Open {
    depth: isize,
    tag: DwTag,
    id: TypeId,
    name: String,
}

struct UnitReader<'a> {
    dwarf: &'a Dwarf<Slice>,
    unit: &'a Unit<Slice>,
    symbols: &'a HashMap<String, (u32, u32)>,
    debug: &'a mut DebugInfo,
    open: Vec<Open>,
}

type Entry = DebuggingInformationEntry<Slice>;

impl UnitReader<'_> {
    fn read(&mut self) {
        let mut entries = self.unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            let depth = entry.depth();
            while self.open.last().is_some_and(|outer| outer.depth >= depth) {
                self.open.pop();
            }
            let id = entry
                .offset()
                .to_debug_info_offset(&self.unit.header)
                .map_or(0, |offset| offset.0);
            let name = self.string(entry, dw::DW_AT_name).unwrap_or_default();
            self.take(entry, id, &name);
            self.open.push(Open {
                depth,
                tag: entry.tag(),
                id,
                name,
            });
        }
    }

    fn take(&mut self, entry: &Entry, id: TypeId, name: &str) {
        let size = number(entry, dw::DW_AT_byte_size).unwrap_or_default();
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let ty = self.reference(entry, dw::DW_AT_type);
        let name = name.to_owned();
        let new = match entry.tag() {
            dw::DW_TAG_base_type => {
                let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(dw::DW_AT_encoding)
                else {
                    return;
                };
                let kind = match encoding {
                    dw::DW_ATE_signed if name == "isize" => BaseKind::SignedPlace,
                    dw::DW_ATE_unsigned if name == "usize" => BaseKind::UnsignedPlace,
                    dw::DW_ATE_signed | dw::DW_ATE_signed_char => BaseKind::Signed,
                    dw::DW_ATE_unsigned | dw::DW_ATE_unsigned_char => BaseKind::Unsigned,
                    dw::DW_ATE_float => BaseKind::Float,
                    dw::DW_ATE_boolean => BaseKind::Bool,
                    dw::DW_ATE_UTF => BaseKind::Char,
                    _ => return,
                };
                Type::Base(kind, size)
            }
            dw::DW_TAG_structure_type => Type::Struct(Struct {
                name,
                size,
                ..Struct::default()
            }),
            dw::DW_TAG_enumeration_type => Type::Enum(name, size, Vec::new()),
            dw::DW_TAG_union_type => Type::Union(name, size, Vec::new()),
            dw::DW_TAG_array_type => match ty {
                Some(element) => Type::Array(element, 0),
                None => return,
            },
            dw::DW_TAG_pointer_type => Type::Pointer,
            dw::DW_TAG_typedef | dw::DW_TAG_const_type | dw::DW_TAG_volatile_type => match ty {
                Some(of) => Type::Alias(of),
                None => return,
            },
            dw::DW_TAG_variable => return self.variable(entry, name, ty),
            _ => return self.part(entry, name, ty),
        };
        self.debug.types.insert(id, new);
    }

    /// Adds an entry to the innermost type around it.
    fn part(&mut self, entry: &Entry, name: String, ty: Option<TypeId>) {
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
        let Some(owner) = owner.and_then(|owner| self.debug.types.get_mut(&owner.id)) else {
            return;
        };
        let place = number(entry, dw::DW_AT_data_member_location)
            .and_then(|offset| u32::try_from(offset).ok());
        let member = place.zip(ty).map(|(offset, ty)| Member {
            name: name.clone(),
            offset,
            ty,
        });
        match (entry.tag(), owner) {
            (dw::DW_TAG_subrange_type, Type::Array(_, count)) => {
                *count = number(entry, dw::DW_AT_count).unwrap_or_default();
            }
            (dw::DW_TAG_enumerator, Type::Enum(_, _, variants)) => {
                let value = signed(entry, dw::DW_AT_const_value).unwrap_or_default();
                variants.push((value, name));
            }
            (dw::DW_TAG_variant, Type::Struct(it)) => it.variants.push(Variant {
                value: signed(entry, dw::DW_AT_discr_value),
                content: None,
            }),
            (dw::DW_TAG_member, Type::Union(_, _, members)) => members.extend(member),
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

    /// Adds a variable; its address is that of the symbol of its linkage name.
    fn variable(&mut self, entry: &Entry, name: String, ty: Option<TypeId>) {
        let linkage = self.string(entry, dw::DW_AT_linkage_name);
        let symbol = linkage.as_deref().unwrap_or(&name);
        let (Some((address, size)), Some(ty)) = (self.symbols.get(symbol).copied(), ty) else {
            return;
        };
        let spaces = self.open.iter();
        let spaces = spaces.filter(|outer| outer.tag == dw::DW_TAG_namespace);
        let mut path: Vec<&str> = spaces.map(|outer| outer.name.as_str()).collect();
        path.push(&name);
        let path = path.join("::");
        self.debug.variables.entry(address).or_insert(Variable {
            name,
            path,
            ty,
            address,
            size,
        });
    }

    fn reference(&self, entry: &Entry, name: DwAt) -> Option<TypeId> {
        match entry.attr_value(name)? {
            AttributeValue::UnitRef(at) => {
                at.to_debug_info_offset(&self.unit.header).map(|at| at.0)
            }
            AttributeValue::DebugInfoRef(at) => Some(at.0),
            _ => None,
        }
    }

    fn string(&self, entry: &Entry, name: DwAt) -> Option<String> {
        let text = self
            .dwarf
            .attr_string(self.unit, entry.attr_value(name)?)
            .ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

fn number(entry: &Entry, name: DwAt) -> Option<u64> {
    entry.attr_value(name)?.udata_value()
}

fn signed(entry: &Entry, name: DwAt) -> Option<i64> {
    let value = entry.attr_value(name)?;
    value
        .udata_value()
        .map(|value| value as i64)
        .or_else(|| value.sdata_value())
}
