//! The types and variables of one program, in the model that Humility has of them

use std::collections::{BTreeMap, BTreeSet};

/// A type. References are offsets into `.debug_info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A number.
    Base {
        /// As the compiler calls it.
        name: String,
        /// In bytes.
        size: u64,
        /// Humility can print a value of it.
        readable: bool,
    },
    /// A structure, a tuple or an enum with data.
    Struct(Struct),
    /// A union.
    Union {
        /// Without its modules.
        name: String,
        /// All at offset 0 but for padding.
        members: Vec<Member>,
    },
    /// An enum without data.
    Enum {
        /// Without its modules.
        name: String,
        /// In bytes.
        size: u64,
        /// Names, in order of declaration.
        variants: Vec<String>,
    },
    /// An array.
    Array {
        /// Type of each element.
        element: usize,
        /// Number of elements.
        count: u64,
    },
    /// A pointer or reference.
    Pointer {
        /// Type of the target; none for `void`.
        to: Option<usize>,
    },
    /// Something that Humility does not model.
    Other {
        /// The tag of its DWARF entry.
        tag: String,
    },
}

/// A structure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struct {
    /// Without its modules.
    pub name: String,
    /// With the names of the modules that it is in.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// In order of declaration.
    pub members: Vec<Member>,
    /// Of an enum with data: the names and types of its variants.
    pub variants: Vec<Member>,
}

/// A member of a structure or union, or a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// `__0`, `__1`, ... in a tuple.
    pub name: String,
    /// From the start of the structure, in bytes.
    pub offset: u64,
    /// Offset of its type.
    pub ty: usize,
}

/// A variable with name and type.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Without its modules.
    pub name: String,
    /// What the symbol is called.
    pub linkage: String,
    /// Offset of its type.
    pub ty: usize,
    /// The debug information gives it a place: it was not left out of the program.
    pub placed: bool,
}

/// Types and variables of a program.
#[derive(Debug, Default)]
pub struct Debug {
    /// By offset into `.debug_info`.
    pub types: BTreeMap<usize, Type>,
    /// Those with a name, in order.
    pub variables: Vec<Variable>,
}

impl Debug {
    /// The structures of this name, qualified or not.
    pub fn structs(&self, name: &str) -> Vec<&Struct> {
        let all = self.types.values();
        all.filter_map(|ty| match ty {
            Type::Struct(it) if it.name == name || it.path == name => Some(it),
            _ => None,
        })
        .collect()
    }

    /// Whether there is a base type, an enum or a structure of this name.
    pub fn has_type(&self, wanted: &str) -> bool {
        self.types.values().any(|ty| match ty {
            Type::Base { name, .. } | Type::Enum { name, .. } => name == wanted,
            Type::Struct(it) => it.name == wanted || it.path == wanted,
            _ => false,
        })
    }

    /// Whether there is an enum of this name, with data or without.
    pub fn has_enum(&self, wanted: &str) -> bool {
        self.types.values().any(|ty| match ty {
            Type::Enum { name, .. } => name == wanted,
            Type::Struct(it) => !it.variants.is_empty() && (it.name == wanted || it.path == wanted),
            _ => false,
        })
    }

    /// The first variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// The type at an offset.
    pub fn ty(&self, at: usize) -> Option<&Type> {
        self.types.get(&at)
    }

    /// The structure at an offset.
    pub fn structure(&self, at: usize) -> Option<&Struct> {
        match self.types.get(&at)? {
            Type::Struct(it) => Some(it),
            _ => None,
        }
    }

    /// Size in bytes.
    pub fn size(&self, at: usize) -> Option<u64> {
        Some(match self.types.get(&at)? {
            Type::Base { size, .. } | Type::Enum { size, .. } => *size,
            Type::Struct(it) => it.size,
            Type::Array { element, count } => self.size(*element)?.checked_mul(*count)?,
            Type::Pointer { .. } => 4,
            Type::Union { .. } | Type::Other { .. } => return None,
        })
    }

    /// The name of a type in a report.
    pub fn describe(&self, at: usize) -> String {
        match self.types.get(&at) {
            Some(Type::Base { name, .. } | Type::Enum { name, .. } | Type::Union { name, .. }) => {
                name.clone()
            }
            Some(Type::Struct(it)) => it.name.clone(),
            Some(Type::Array { element, count }) => {
                format!("[{}; {count}]", self.describe(*element))
            }
            Some(Type::Pointer { to }) => match to {
                Some(to) => format!("&{}", self.describe(*to)),
                None => "&?".into(),
            },
            Some(Type::Other { tag }) => tag.clone(),
            None => format!("a type at {at:#x} that is not there"),
        }
    }

    /// The part of a type that Humility cannot read; `None` if it can read all of it.
    pub fn unreadable(&self, at: usize) -> Option<String> {
        self.unreadable_in(at, &mut BTreeSet::new())
    }

    fn unreadable_in(&self, at: usize, seen: &mut BTreeSet<usize>) -> Option<String> {
        if !seen.insert(at) {
            return None;
        }
        match self.types.get(&at) {
            Some(Type::Base { readable, .. }) if *readable => None,
            Some(Type::Enum { .. } | Type::Pointer { .. }) => None,
            Some(Type::Array { element, .. }) => self.unreadable_in(*element, seen),
            Some(Type::Struct(it)) => it
                .members
                .iter()
                .chain(&it.variants)
                .find_map(|member| self.unreadable_in(member.ty, seen)),
            Some(Type::Union { name, members }) => {
                let value = members.iter().find(|member| member.name == "value");
                match value.filter(|_| name.contains("MaybeUninit")) {
                    Some(value) => self.unreadable_in(value.ty, seen),
                    None => Some(format!("union `{name}`")),
                }
            }
            _ => Some(format!("`{}`", self.describe(at))),
        }
    }

    /// The type inside structures with a single member, such as `NotificationSet`.
    pub fn inside(&self, at: usize) -> usize {
        match self.structure(at) {
            Some(it) if it.members.len() == 1 && it.variants.is_empty() => {
                self.inside(it.members[0].ty)
            }
            _ => at,
        }
    }
}

impl Struct {
    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Whether Humility takes it for a tuple: all of its members are `__0`, `__1`, ...
    pub fn is_tuple(&self) -> bool {
        self.variants.is_empty()
            && self.members.iter().all(|member| {
                member.name.strip_prefix("__").is_some_and(|rest| {
                    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
                })
            })
    }
}
