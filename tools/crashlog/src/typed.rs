//! Typed events: values that were encoded for the log.
//!
//! An event record holds the name of a type, and a value in hubpack encoding. The encoding has
//! neither field names nor types; the debug information of the task that sent it has both. Variants
//! and fields are encoded in the order of their declaration, which is the order of the debug
//! information.

use crate::dwarf::{BaseKind, DebugInfo, Struct, Type, TypeId};
use std::collections::HashMap;

/// Greatest depth of nested types, and most values in one: they bound the work for damaged debug
/// information.
const DEPTH_MAX: u32 = 12;
const VALUES_MAX: u32 = 10_000;
/// Number of elements of an array that are shown.
const SHOWN: usize = 16;

/// The types of the events of a program.
pub struct EventTypes {
    debug: DebugInfo,
    /// Structures and enumerations by name, in the order of the program.
    named: HashMap<String, Vec<TypeId>>,
    /// Those of these names that were searched already. A card may have any number of names that
    /// the program has not.
    found: HashMap<String, Option<TypeId>>,
}

impl EventTypes {
    pub fn new(debug: DebugInfo) -> Self {
        let mut named = HashMap::<String, Vec<TypeId>>::new();
        for (id, ty) in &debug.types {
            if let Type::Struct(Struct { name, .. }) | Type::Enum(name, ..) = ty {
                named.entry(name.clone()).or_default().push(*id);
            }
        }
        named.values_mut().for_each(|all| all.sort_unstable());
        Self {
            debug,
            named,
            found: HashMap::new(),
        }
    }

    /// The value that `bytes` encode, in the notation of Rust. `name` is that of its type, a
    /// structure or enumeration in any module. `None` if there is no such type, or the bytes do not
    /// fit it.
    pub fn show(&mut self, name: &str, bytes: &[u8]) -> Option<String> {
        let ty = match self.found.get(name) {
            Some(known) => *known,
            None => {
                let mut all = self.named.get(name)?.iter().copied();
                // Variants of enumerations are structures, too, and may have this name.
                let new = all.find(|id| {
                    is_encoded(&self.debug, *id, DEPTH_MAX, &mut { VALUES_MAX }).is_some()
                });
                self.found.insert(name.to_owned(), new);
                new
            }
        };
        show(&self.debug, ty?, bytes)
    }
}

/// Whether all parts of a type have an encoding.
fn is_encoded(debug: &DebugInfo, ty: TypeId, depth: u32, left: &mut u32) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    match debug.resolve(ty)? {
        Type::Base(BaseKind::Char, _) | Type::Pointer | Type::Union(..) | Type::Alias(_) => None,
        Type::Base(..) | Type::Enum(..) => Some(()),
        Type::Array(element, _) => is_encoded(debug, *element, depth, left),
        Type::Struct(it) => {
            let contents = it.variants.iter().filter_map(|it| it.content.as_ref());
            let mut parts = it.members.iter().chain(contents);
            parts.try_for_each(|part| is_encoded(debug, part.ty, depth, left))
        }
    }
}

/// The value that `bytes` encode; `None` if they do not fit the type.
fn show(debug: &DebugInfo, ty: TypeId, bytes: &[u8]) -> Option<String> {
    let mut reader = Reader {
        debug,
        bytes,
        left: VALUES_MAX,
    };
    let text = reader.value(ty, DEPTH_MAX)?;
    reader.bytes.is_empty().then_some(text)
}

/// An encoding that is being read.
struct Reader<'a> {
    debug: &'a DebugInfo,
    /// What follows.
    bytes: &'a [u8],
    /// How many values may follow.
    left: u32,
}

impl Reader<'_> {
    fn value(&mut self, ty: TypeId, depth: u32) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        self.left = self.left.checked_sub(1)?;
        let debug = self.debug;
        Some(match debug.resolve(ty)? {
            Type::Base(kind, size) => self.base(*kind, *size)?,
            Type::Array(element, count) => self.array(*element, *count, depth)?,
            Type::Enum(name, _, variants) => {
                let (_, variant) = variants.get(self.index()?)?;
                of_enum(name, variant)
            }
            Type::Struct(it) if it.variants.is_empty() => self.fields(&it.name, it, depth)?,
            Type::Struct(it) => {
                let variant = it.variants.get(self.index()?)?.content.as_ref()?;
                let content = match debug.resolve(variant.ty)? {
                    Type::Struct(fields) if fields.variants.is_empty() => {
                        self.fields(&variant.name, fields, depth)?
                    }
                    _ => self.value(variant.ty, depth)?,
                };
                of_enum(&it.name, &content)
            }
            Type::Pointer | Type::Union(..) | Type::Alias(_) => return None,
        })
    }

    /// The number of a variant.
    fn index(&mut self) -> Option<usize> {
        usize::try_from(self.number(1)?).ok()
    }

    fn base(&mut self, kind: BaseKind, size: u32) -> Option<String> {
        Some(match kind {
            // `()` has no bytes.
            BaseKind::Unsigned if size == 0 => String::new(),
            BaseKind::Unsigned => self.number(size)?.to_string(),
            // hubpack encodes these with 64 bits on every machine.
            BaseKind::UnsignedPlace => self.number(8)?.to_string(),
            BaseKind::Signed => self.signed(size)?,
            BaseKind::SignedPlace => self.signed(8)?,
            BaseKind::Float if size == 4 => f32::from_bits(self.number(4)? as u32).to_string(),
            BaseKind::Float if size == 8 => f64::from_bits(self.number(8)? as u64).to_string(),
            BaseKind::Bool => match self.number(1)? {
                0 => "false".to_owned(),
                1 => "true".to_owned(),
                _ => return None,
            },
            BaseKind::Float | BaseKind::Char => return None,
        })
    }

    fn signed(&mut self, size: u32) -> Option<String> {
        let number = self.number(size)?;
        let unused = 128_u32.checked_sub(size.checked_mul(8)?)?;
        let number = if unused == 128 { 0 } else { number << unused };
        Some((number as i128 >> unused.min(127)).to_string())
    }

    fn array(&mut self, element: TypeId, count: u64, depth: u32) -> Option<String> {
        let mut shown = Vec::new();
        for index in 0..count {
            // Elements of no length would make a wrong count loop without end.
            let before = self.bytes.len();
            let text = self.value(element, depth)?;
            if index < SHOWN as u64 {
                shown.push(text);
            }
            if self.bytes.len() == before {
                break;
            }
        }
        if count > SHOWN as u64 {
            shown.push("..".to_owned());
        }
        Some(format!("[{}]", shown.join(", ")))
    }

    /// The members of a structure or of a variant, which is called `name`.
    fn fields(&mut self, name: &str, it: &Struct, depth: u32) -> Option<String> {
        if it.members.is_empty() {
            return Some(name.to_owned());
        }
        let is_tuple = it.is_tuple();
        let mut shown = Vec::new();
        for member in &it.members {
            let value = self.value(member.ty, depth)?;
            shown.push(if is_tuple {
                value
            } else {
                format!("{}: {value}", member.name)
            });
        }
        let shown = shown.join(", ");
        Some(if is_tuple {
            format!("{name}({shown})")
        } else {
            format!("{name} {{ {shown} }}")
        })
    }

    /// A little-endian number of this length in bytes.
    fn number(&mut self, size: u32) -> Option<u128> {
        if size > 16 {
            return None;
        }
        let (taken, rest) = self.bytes.split_at_checked(size as usize)?;
        self.bytes = rest;
        let bytes = taken.iter().rev();
        Some(bytes.fold(0, |value, &byte| value << 8 | u128::from(byte)))
    }
}

/// A variant of an enumeration. Those of some are known without the name of the type.
fn of_enum(name: &str, variant: &str) -> String {
    if name.starts_with("Option<") || name.starts_with("Result<") {
        variant.to_owned()
    } else {
        format!("{name}::{variant}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dwarf::{Member, Variant};

    const EVENT: TypeId = 10;

    fn members(all: &[(&str, TypeId)]) -> Vec<Member> {
        let all = all.iter().map(|(name, ty)| Member {
            name: (*name).to_owned(),
            offset: 0,
            ty: *ty,
        });
        all.collect()
    }

    fn structure(name: &str, all: &[(&str, TypeId)]) -> Type {
        Type::Struct(Struct {
            name: name.to_owned(),
            members: members(all),
            ..Struct::default()
        })
    }

    fn types() -> EventTypes {
        let variants = members(&[("Idle", 11), ("Reading", 12), ("Pair", 13)]);
        let variants = variants.into_iter().map(|content| Variant {
            value: None,
            content: Some(content),
        });
        let event = Type::Struct(Struct {
            name: "Event".to_owned(),
            variants: variants.collect(),
            ..Struct::default()
        });
        let on = ["Off", "On"].map(|name| (0, name.to_owned()));
        let types = [
            (1, Type::Base(BaseKind::Unsigned, 1)),
            (2, Type::Base(BaseKind::Signed, 4)),
            (3, Type::Base(BaseKind::Bool, 1)),
            (4, Type::Base(BaseKind::Float, 4)),
            (5, Type::Base(BaseKind::UnsignedPlace, 4)),
            (6, Type::Base(BaseKind::Unsigned, 0)),
            // A structure of the same name that has no encoding comes first.
            (7, structure("Event", &[("pointer", 8)])),
            (8, Type::Pointer),
            (EVENT, event),
            (11, structure("Idle", &[])),
            (12, structure("Reading", &[("sensor", 1), ("degrees", 2)])),
            (13, structure("Pair", &[("__0", 3), ("__1", 4)])),
            (20, Type::Enum("Switch".to_owned(), 1, on.to_vec())),
            (21, structure("Many", &[("of", 22), ("is", 20)])),
            (22, Type::Array(5, 2)),
            (23, structure("Nothing", &[("of", 24)])),
            (24, Type::Array(6, u64::MAX)),
            (25, structure("Circle", &[("of", 25)])),
        ];
        EventTypes::new(DebugInfo {
            types: types.into(),
            ..DebugInfo::default()
        })
    }

    #[test]
    fn values_are_shown_in_the_notation_of_rust() {
        let mut types = types();
        for (name, bytes, text) in [
            ("Event", &[0][..], "Event::Idle"),
            (
                "Event",
                &[1, 3, 0xfe, 0xff, 0xff, 0xff],
                "Event::Reading { sensor: 3, degrees: -2 }",
            ),
            ("Event", &[2, 1, 0, 0, 0xc0, 0x3f], "Event::Pair(true, 1.5)"),
            ("Switch", &[1], "Switch::On"),
            (
                "Many",
                &[7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
                "Many { of: [7, 256], is: Switch::Off }",
            ),
            ("Nothing", &[], "Nothing { of: [, ..] }"),
        ] {
            assert_eq!(types.show(name, bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn bytes_of_another_type_are_refused() {
        let mut types = types();
        for bytes in [&[][..], &[3], &[1, 3], &[0, 0], &[2, 7, 0, 0, 0, 0]] {
            assert_eq!(types.show("Event", bytes), None, "{bytes:?}");
        }
        for name in ["Circle", "Unknown", ""] {
            assert_eq!(types.show(name, &[]), None, "{name}");
        }
        // Names that the program has not are not kept.
        assert_eq!(types.found.len(), 2);
    }
}
