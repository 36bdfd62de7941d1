//! Values in memory, read by the debug information: what Humility shows of a variable.

use super::types::{DebugInfo, Member, Struct, Type};
use anyhow::{Context, Result, bail};
use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, or a `bool`; `()` is 0.
    Number(u64),
    /// The name of the type and the members.
    Struct(String, Vec<(String, Value)>),
    Tuple(String, Vec<Value>),
    /// The variant, and its content if it has any.
    Enum(String, Option<Box<Value>>),
    Array(Vec<Value>),
    Pointer(u32),
}

impl Value {
    /// Reads a value of the type `ty` from the start of `bytes`.
    ///
    /// # Errors
    /// If Humility would fail or panic.
    pub fn read(debug: &DebugInfo, ty: usize, bytes: &[u8]) -> Result<Self> {
        Ok(match debug.types.get(&ty).context("a type is missing")? {
            Type::Base { size, .. } => Self::Number(number(bytes, *size)?),
            Type::Pointer => Self::Pointer(number(bytes, 4)? as u32),
            Type::Array { element, count } => {
                let size = debug.size(*element)?;
                let each = (0..*count).map(|index| {
                    let at = index * size;
                    Self::read(debug, *element, part(bytes, at)?)
                });
                Self::Array(each.collect::<Result<_>>()?)
            }
            Type::Enum { size, variants } => {
                let value = extend(number(bytes, *size)?, *size);
                let found = variants.iter().find(|own| same(own.0, value, *size));
                let name = &found.with_context(|| format!("no variant {value}"))?.1;
                Self::Enum(name.clone(), None)
            }
            Type::Union { name, members } => {
                let value = members.iter().find(|member| member.name == "value");
                match value.filter(|_| name.contains("MaybeUninit")) {
                    Some(value) => Self::read(debug, value.ty, part(bytes, value.offset)?)?,
                    None => bail!("a union `{name}` cannot be read"),
                }
            }
            Type::Struct(it) if !it.variants.is_empty() => Self::variant(debug, it, bytes)?,
            Type::Struct(it) => {
                let member =
                    |member: &Member| Self::read(debug, member.ty, part(bytes, member.offset)?);
                let values = it.members.iter().map(member).collect::<Result<Vec<_>>>()?;
                if it.is_tuple() {
                    Self::Tuple(it.name.clone(), values)
                } else {
                    let names = it.members.iter().map(|member| member.name.clone());
                    Self::Struct(it.name.clone(), names.zip(values).collect())
                }
            }
            Type::Unknown(what) => bail!("a value of type `{what}` cannot be read"),
        })
    }

    fn variant(debug: &DebugInfo, it: &Struct, bytes: &[u8]) -> Result<Self> {
        let found = match &it.discriminant {
            Some(member) => {
                let size = debug.size(member.ty)?;
                let value = extend(number(part(bytes, member.offset)?, size)?, size);
                let own = it
                    .variants
                    .iter()
                    .find(|own| own.value.is_some_and(|own| same(own, value, size)));
                let other = || it.variants.iter().find(|own| own.value.is_none());
                own.or_else(other)
                    .with_context(|| format!("`{}` has no variant {value}", it.name))?
            }
            None => it.variants.first().context("no variant")?,
        };
        let content = found.content.as_ref().context("a variant without type")?;
        let value = Self::read(debug, content.ty, part(bytes, content.offset)?)?;
        let empty = matches!(&value, Self::Tuple(_, all) if all.is_empty());
        let value = (!empty).then(|| Box::new(value));
        Ok(Self::Enum(content.name.clone(), value))
    }

    /// A member of a structure.
    pub fn member(&self, name: &str) -> Result<&Self> {
        let Self::Struct(of, members) = self else {
            bail!("no structure with a member `{name}`: {self:?}");
        };
        let found = members.iter().find(|member| member.0 == name);
        Ok(&found
            .with_context(|| format!("`{of}` has no member `{name}`"))?
            .1)
    }

    /// The element of a tuple of one.
    pub fn only(&self) -> Result<&Self> {
        match self {
            Self::Tuple(_, all) if all.len() == 1 => Ok(&all[0]),
            _ => bail!("no tuple of one: {self:?}"),
        }
    }

    /// A number.
    pub fn number(&self) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Pointer(address) => Ok(u64::from(*address)),
            _ => bail!("no number: {self:?}"),
        }
    }

    /// The variant of an enum, and its content.
    pub fn variant_of(&self) -> Result<(&str, Option<&Self>)> {
        match self {
            Self::Enum(name, value) => Ok((name, value.as_deref())),
            _ => bail!("no enum: {self:?}"),
        }
    }

    /// The content of an `Option`.
    pub fn option(&self) -> Result<Option<&Self>> {
        match self.variant_of()? {
            ("None", None) => Ok(None),
            ("Some", Some(value)) => value.only().map(Some),
            (name, value) => bail!("no Option: {name} {value:?}"),
        }
    }
}

fn part(bytes: &[u8], at: u32) -> Result<&[u8]> {
    bytes.get(at as usize..).context("a value is cut short")
}

fn number(bytes: &[u8], size: u32) -> Result<u64> {
    let own = bytes.get(..size as usize).context("a value is cut short")?;
    let mut word = [0; 8];
    word.get_mut(..own.len())
        .context("a number of more than 8 bytes")?
        .copy_from_slice(own);
    Ok(u64::from_le_bytes(word))
}

/// Sign extension: the debug information has discriminants both with and without it.
fn extend(value: u64, size: u32) -> i64 {
    let unused = 64 - 8 * size.clamp(1, 8);
    (value << unused) as i64 >> unused
}

fn same(a: i64, b: i64, size: u32) -> bool {
    extend(a as u64, size) == extend(b as u64, size)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:#x}"),
            Self::Pointer(address) => write!(f, "&{address:#x}"),
            Self::Enum(name, None) => f.write_str(name),
            Self::Enum(name, Some(value)) => write!(f, "{name} {value}"),
            Self::Array(all) | Self::Tuple(_, all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                write!(f, "({})", all.join(", "))
            }
            Self::Struct(name, members) => {
                let all: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                write!(f, "{name} {{ {} }}", all.join(", "))
            }
        }
    }
}
