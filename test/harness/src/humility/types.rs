//! Types and variables of one program.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// A type; references to others are offsets into `.debug_info`.
#[derive(Clone, Debug)]
pub enum Type {
    /// A number; `()` is one of 0 bytes.
    Base {
        size: u32,
    },
    /// A structure, a tuple, or an enum with data.
    Struct(Struct),
    /// An enum without data: value and name of each variant.
    Enum {
        size: u32,
        variants: Vec<(i64, String)>,
    },
    Array {
        element: usize,
        count: u32,
    },
    Pointer,
    Union {
        name: String,
        members: Vec<Member>,
    },
    /// A type without readable values: characters, functions, and so on.
    Unknown(String),
}

/// A structure.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    pub name: String,
    pub size: u32,
    pub members: Vec<Member>,
    /// The discriminant and the variants, of an enum with data.
    pub discriminant: Option<Member>,
    pub variants: Vec<Variant>,
}

/// A member: name, offset, type.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    pub offset: u32,
    pub ty: usize,
}

/// A variant: its discriminant, if it has one of its own, and its content.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    pub value: Option<i64>,
    pub content: Option<Member>,
}

/// A variable that has an address.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    /// With its modules.
    pub path: String,
    pub ty: usize,
    pub address: u32,
    pub size: u32,
}

/// The debug information of a program.
#[derive(Debug, Default)]
pub struct DebugInfo {
    pub types: BTreeMap<usize, Type>,
    /// By address; like Humility, only the first variable at an address.
    pub variables: BTreeMap<u32, Variable>,
    /// In the order of the debug information.
    pub by_name: Vec<u32>,
}

impl Struct {
    /// The member of this name.
    pub fn member(&self, name: &str) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.name == name);
        found.with_context(|| format!("`{}` has no member `{name}`", self.name))
    }

    /// Whether all of its members are called `__0`, `__1`, ...
    pub fn is_tuple(&self) -> bool {
        self.members.iter().all(|member| {
            let digits = member.name.strip_prefix("__").unwrap_or("x");
            digits.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

impl DebugInfo {
    /// The first variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let all = self.by_name.iter().filter_map(|at| self.variables.get(at));
        all.into_iter().find(|variable| variable.name == name)
    }

    /// The structure at an offset.
    pub fn structure(&self, at: usize) -> Result<&Struct> {
        match self.types.get(&at) {
            Some(Type::Struct(it)) => Ok(it),
            other => anyhow::bail!("no structure: {other:?}"),
        }
    }

    /// The first structure of this name.
    pub fn named(&self, name: &str) -> Result<&Struct> {
        let found = self.types.values().find_map(|ty| match ty {
            Type::Struct(it) if it.name == name => Some(it),
            _ => None,
        });
        found.with_context(|| format!("there is no structure `{name}`"))
    }

    /// Size in bytes.
    pub fn size(&self, at: usize) -> Result<u32> {
        Ok(match self.types.get(&at).context("a type is missing")? {
            Type::Base { size, .. } | Type::Enum { size, .. } => *size,
            Type::Struct(it) => it.size,
            Type::Array { element, count } => self.size(*element)? * count,
            Type::Pointer => 4,
            Type::Union { name, members } => {
                let member = members.first();
                self.size(member.with_context(|| format!("`{name}` is empty"))?.ty)?
            }
            Type::Unknown(what) => anyhow::bail!("{what} has no size"),
        })
    }
}
