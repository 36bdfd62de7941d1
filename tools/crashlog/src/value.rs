//! A value in memory, read by the debug information of its program.

use crate::dwarf::{BaseKind, DebugInfo, Member, Struct, Type, TypeId};
use serde_json::{Map, json};
use std::fmt::Write;

/// Greatest depth of nested values, and most values in one: they bound the work for damaged debug
/// information.
const DEPTH_MAX: u32 = 24;
const VALUES_MAX: u32 = 100_000;

/// Number of elements of an array that are shown in a line.
const SHOWN: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Unsigned(u64),
    /// A number, and its length in bytes.
    Signed(i64, u32),
    Float(f64),
    Bool(bool),
    Char(char),
    Pointer(u32),
    Array(Vec<Value>),
    /// The name of the type, and the members.
    Struct(String, Vec<(String, Value)>),
    Tuple(String, Vec<Value>),
    /// The variant, and its content if it has any.
    Enum(String, Option<Box<Value>>),
    /// Bytes of a type that cannot be decoded.
    Bytes(Vec<u8>),
}

/// How numbers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Radix {
    /// As in Rust's `Debug`.
    Decimal,
    /// As Humility shows them.
    Hexadecimal,
}

impl Value {
    /// Reads a value of a type from the start of `bytes`; `None` if there are too few of them, or
    /// they are no value of the type.
    pub fn read(debug: &DebugInfo, ty: TypeId, bytes: &[u8]) -> Option<Self> {
        let mut left = VALUES_MAX;
        read(debug, ty, bytes, DEPTH_MAX, &mut left)
    }

    /// A member of a structure.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct(_, members) => members.iter().find(|it| it.0 == name).map(|it| &it.1),
            _ => None,
        }
    }

    /// The element of a tuple of one, or of that of such a tuple, and so on; else the value.
    pub fn inner(&self) -> &Self {
        match self {
            Self::Tuple(_, all) if all.len() == 1 => all[0].inner(),
            other => other,
        }
    }

    /// The only element of a tuple.
    pub fn only(&self) -> Option<&Self> {
        match self {
            Self::Tuple(_, all) if all.len() == 1 => all.first(),
            _ => None,
        }
    }

    /// A number, maybe in a tuple of one.
    pub fn number(&self) -> Option<u64> {
        match self.inner() {
            Self::Unsigned(number) => Some(*number),
            Self::Pointer(address) => Some(u64::from(*address)),
            Self::Signed(number, _) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The variant of an enumeration, and its content.
    pub fn variant(&self) -> Option<(&str, Option<&Self>)> {
        match self {
            Self::Enum(name, value) => Some((name, value.as_deref())),
            _ => None,
        }
    }

    /// The content of an `Option`; `None` if it is none.
    pub fn option(&self) -> Option<Option<&Self>> {
        match self.variant()? {
            ("None", _) => Some(None),
            ("Some", Some(content)) => Some(Some(content.only()?)),
            _ => None,
        }
    }

    /// The name of a structure's type without its parameters.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Struct(name, _) | Self::Tuple(name, _) => {
                name.split('<').next().unwrap_or_default()
            }
            _ => "",
        }
    }

    /// The value in one line, in the notation of Rust.
    pub fn text(&self, radix: Radix) -> String {
        let mut out = String::new();
        self.write(radix, &mut out);
        out
    }

    fn write(&self, radix: Radix, out: &mut String) {
        // Writing to a string does not fail.
        let _ = match (self, radix) {
            (Self::Unsigned(number), Radix::Decimal) => write!(out, "{number}"),
            (Self::Unsigned(number), Radix::Hexadecimal) => write!(out, "{number:#x}"),
            (Self::Signed(number, _), Radix::Decimal) => write!(out, "{number}"),
            (Self::Signed(number, size), Radix::Hexadecimal) => {
                let unused = 64 - 8 * (*size).clamp(1, 8);
                write!(out, "{:#x}", (*number as u64) << unused >> unused)
            }
            (Self::Float(number), _) => write!(out, "{number:?}"),
            (Self::Bool(value), _) => write!(out, "{value}"),
            // It is escaped where it is shown.
            (Self::Char(value), _) => write!(out, "'{value}'"),
            (Self::Pointer(address), _) => write!(out, "{address:#010x}"),
            (Self::Bytes(bytes), _) => write!(out, "{}", crate::text::hex(bytes)),
            (Self::Array(all), _) => {
                out.push('[');
                write_list(all, radix, out);
                write!(out, "]")
            }
            (Self::Tuple(name, all), _) => {
                out.push_str(name.split('<').next().unwrap_or_default());
                if !all.is_empty() || name.is_empty() {
                    out.push('(');
                    write_list(all, radix, out);
                    out.push(')');
                }
                Ok(())
            }
            (Self::Struct(name, members), _) => {
                out.push_str(name.split('<').next().unwrap_or_default());
                out.push_str(" { ");
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    let _ = write!(out, "{name}: ");
                    value.write(radix, out);
                }
                write!(out, " }}")
            }
            (Self::Enum(name, content), _) => match content.as_deref() {
                None => write!(out, "{name}"),
                Some(content) => {
                    // The type of a variant's content has the name of the variant.
                    if !matches!(content, Self::Struct(..) | Self::Tuple(..)) {
                        let _ = write!(out, "{name} ");
                    }
                    content.write(radix, out);
                    Ok(())
                }
            },
        };
    }

    /// The value as JSON.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Unsigned(number) => json!(number),
            Self::Signed(number, _) => json!(number),
            Self::Float(number) => json!(number),
            Self::Bool(value) => json!(value),
            Self::Char(value) => json!(value),
            Self::Pointer(address) => json!(address),
            Self::Bytes(bytes) => json!({ "hex": crate::text::hex(bytes) }),
            Self::Array(all) | Self::Tuple(_, all) => all.iter().map(Self::json).collect(),
            Self::Struct(_, members) => {
                let all = members
                    .iter()
                    .map(|(name, value)| (name.clone(), value.json()));
                all.collect::<Map<_, _>>().into()
            }
            Self::Enum(name, None) => json!(name),
            Self::Enum(name, Some(content)) => json!({ name.as_str(): content.json() }),
        }
    }
}

fn write_list(all: &[Value], radix: Radix, out: &mut String) {
    for (index, value) in all.iter().take(SHOWN).enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        value.write(radix, out);
    }
    if all.len() > SHOWN {
        let _ = write!(out, ", .. {} more", all.len() - SHOWN);
    }
}

fn read(debug: &DebugInfo, ty: TypeId, bytes: &[u8], depth: u32, left: &mut u32) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    Some(match debug.resolve(ty)? {
        Type::Base(kind, size) => base(*kind, *size, bytes)?,
        Type::Pointer => Value::Pointer(number(bytes, 4)? as u32),
        Type::Array(element, count) => {
            let size = debug.size(*element)? as usize;
            let mut all = Vec::new();
            for index in 0..*count {
                let at = usize::try_from(index).ok()?.checked_mul(size)?;
                all.push(read(debug, *element, bytes.get(at..)?, depth, left)?);
            }
            Value::Array(all)
        }
        Type::Enum(_, size, variants) => {
            let value = number(bytes, *size)?;
            let found = variants.iter().find(|own| same(own.0, value, *size))?;
            Value::Enum(found.1.clone(), None)
        }
        Type::Union(name, size, members) => {
            let value = members.iter().find(|member| member.name == "value");
            match value.filter(|_| name.contains("MaybeUninit")) {
                Some(member) => read_part(debug, member, bytes, depth, left)?,
                None => Value::Bytes(bytes.get(..*size as usize)?.to_vec()),
            }
        }
        Type::Struct(it) if !it.variants.is_empty() => variant(debug, it, bytes, depth, left)?,
        Type::Struct(it) => {
            let mut values = Vec::new();
            for member in &it.members {
                let value = read_part(debug, member, bytes, depth, left);
                values.push(match value {
                    Some(value) => value,
                    // A member that is no value of its type is shown as it is.
                    None if *left > 0 => raw(debug, member, bytes)?,
                    None => return None,
                });
            }
            if it.is_tuple() {
                Value::Tuple(it.name.clone(), values)
            } else {
                let names = it.members.iter().map(|member| member.name.clone());
                Value::Struct(it.name.clone(), names.zip(values).collect())
            }
        }
        Type::Alias(_) => return None,
    })
}

fn read_part(
    debug: &DebugInfo,
    member: &Member,
    bytes: &[u8],
    depth: u32,
    left: &mut u32,
) -> Option<Value> {
    let own = bytes.get(member.offset as usize..)?;
    read(debug, member.ty, own, depth, left)
}

/// The bytes of a member.
fn raw(debug: &DebugInfo, member: &Member, bytes: &[u8]) -> Option<Value> {
    let size = debug.size(member.ty).unwrap_or(0) as usize;
    let own = bytes.get(member.offset as usize..)?.get(..size)?;
    Some(Value::Bytes(own.to_vec()))
}

fn variant(
    debug: &DebugInfo,
    it: &Struct,
    bytes: &[u8],
    depth: u32,
    left: &mut u32,
) -> Option<Value> {
    let found = match &it.discriminant {
        Some(member) => {
            let size = debug.size(member.ty)?;
            let value = number(bytes.get(member.offset as usize..)?, size)?;
            let is_own = |own: &i64| same(*own, value, size);
            let own = it
                .variants
                .iter()
                .find(|variant| variant.value.as_ref().is_some_and(is_own));
            let other = || it.variants.iter().find(|variant| variant.value.is_none());
            own.or_else(other)?
        }
        None => it.variants.first()?,
    };
    let content = found.content.as_ref()?;
    let value = read(
        debug,
        content.ty,
        bytes.get(content.offset as usize..)?,
        depth,
        left,
    )?;
    let is_empty = matches!(&value, Value::Tuple(_, all) if all.is_empty());
    Some(Value::Enum(
        content.name.clone(),
        (!is_empty).then(|| Box::new(value)),
    ))
}

fn base(kind: BaseKind, size: u32, bytes: &[u8]) -> Option<Value> {
    if size > 8 {
        return Some(Value::Bytes(bytes.get(..size as usize)?.to_vec()));
    }
    let raw = number(bytes, size)?;
    Some(match kind {
        // `()` has no bytes.
        _ if size == 0 => Value::Tuple(String::new(), Vec::new()),
        BaseKind::Unsigned | BaseKind::UnsignedPlace => Value::Unsigned(raw),
        BaseKind::Signed | BaseKind::SignedPlace => {
            let unused = 64 - 8 * size;
            Value::Signed((raw << unused) as i64 >> unused, size)
        }
        BaseKind::Float if size == 4 => Value::Float(f32::from_bits(raw as u32).into()),
        BaseKind::Float => Value::Float(f64::from_bits(raw)),
        BaseKind::Bool => Value::Bool(match raw {
            0 => false,
            1 => true,
            _ => return None,
        }),
        BaseKind::Char => Value::Char(char::from_u32(raw as u32)?),
    })
}

/// A little-endian number of at most 8 bytes.
fn number(bytes: &[u8], size: u32) -> Option<u64> {
    let own = bytes.get(..size as usize).filter(|own| own.len() <= 8)?;
    Some(
        own.iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// Whether two numbers of `size` bytes are the same; the debug information has discriminants with
/// and without sign extension.
fn same(own: i64, value: u64, size: u32) -> bool {
    let unused = 64 - 8 * size.clamp(1, 8);
    (own as u64) << unused == value << unused
}
