//! Typed events: the shape of a type from DWARF, and a value in that shape.
//!
//! An event record holds the name of a type, and a value in hubpack encoding. The encoding has
//! neither field names nor types; the debug information of the task that sent it has both. Variants
//! and fields are encoded in the order of their declaration, which is the order of the debug
//! information.

use crate::program::Slice;
use gimli::constants as dw;
use gimli::{AttributeValue, DebugInfoOffset, DebuggingInformationEntry, Dwarf, Unit, UnitOffset};

/// Greatest depth of nested types. It bounds the recursion for damaged debug information.
const DEPTH_MAX: u32 = 12;
/// Number of elements of an array that are shown.
const SHOWN: usize = 16;

/// The shape of a type: how the bytes of a value are decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A little-endian number of this length in bytes.
    Unsigned(usize),
    Signed(usize),
    Float(usize),
    Bool,
    Array(Box<Shape>, u64),
    /// Its name and fields; the fields of a tuple are named `__0`, `__1` and so on.
    Struct(String, Vec<(String, Shape)>),
    /// Its name and variants; each variant is a structure.
    Enum(String, Vec<Shape>),
}

/// Finds the shape of the structure or enumeration with this name, in any module.
pub fn find(dwarf: &Dwarf<Slice>, name: &str) -> Option<Shape> {
    let mut headers = dwarf.units();
    while let Ok(Some(header)) = headers.next() {
        let unit = dwarf.unit(header).ok()?;
        let mut entries = unit.entries();
        while let Ok(Some(entry)) = entries.next_dfs() {
            let is_type =
                [dw::DW_TAG_structure_type, dw::DW_TAG_enumeration_type].contains(&entry.tag());
            if is_type && text(dwarf, &unit, entry).as_deref() == Some(name) {
                let offset = entry.offset();
                // Variants of enumerations are structures, too, and may have this name; the search
                // continues if the shape cannot be read.
                let reader = Reader { dwarf, unit: &unit };
                if let Some(shape) = reader.shape(offset, 0) {
                    return Some(shape);
                }
            }
        }
    }
    None
}

/// The name of an entry.
fn text(
    dwarf: &Dwarf<Slice>,
    unit: &Unit<Slice>,
    entry: &DebuggingInformationEntry<Slice>,
) -> Option<String> {
    let name = dwarf
        .attr_string(unit, entry.attr_value(dw::DW_AT_name)?)
        .ok()?;
    Some(String::from_utf8_lossy(&name).into_owned())
}

struct Reader<'a> {
    dwarf: &'a Dwarf<Slice>,
    unit: &'a Unit<Slice>,
}

impl Reader<'_> {
    fn shape(&self, offset: UnitOffset, depth: u32) -> Option<Shape> {
        if depth > DEPTH_MAX {
            return None;
        }
        let entry = self.unit.entry(offset).ok()?;
        let name = text(self.dwarf, self.unit, &entry);
        match entry.tag() {
            dw::DW_TAG_base_type => base(&entry, name.as_deref()?),
            dw::DW_TAG_array_type => {
                let element = self.target(&entry, depth)?;
                let mut count = None;
                self.children(offset, |child| {
                    if child.tag() == dw::DW_TAG_subrange_type {
                        count = child
                            .attr_value(dw::DW_AT_count)
                            .and_then(|count| count.udata_value());
                    }
                    Some(())
                })?;
                Some(Shape::Array(Box::new(element), count?))
            }
            dw::DW_TAG_enumeration_type => {
                let mut variants = Vec::new();
                self.children(offset, |child| {
                    if child.tag() == dw::DW_TAG_enumerator {
                        variants.push(Shape::Struct(
                            text(self.dwarf, self.unit, child)?,
                            Vec::new(),
                        ));
                    }
                    Some(())
                })?;
                Some(Shape::Enum(name?, variants))
            }
            dw::DW_TAG_structure_type => self.structure(offset, name?, depth),
            _ => None,
        }
    }

    /// A structure, or an enumeration whose variants have fields.
    fn structure(&self, offset: UnitOffset, name: String, depth: u32) -> Option<Shape> {
        let mut fields = Vec::new();
        let mut variant_part = None;
        self.children(offset, |child| {
            match child.tag() {
                dw::DW_TAG_member => {
                    fields.push((
                        text(self.dwarf, self.unit, child)?,
                        self.target(child, depth)?,
                    ));
                }
                dw::DW_TAG_variant_part => variant_part = Some(child.offset()),
                _ => {}
            }
            Some(())
        })?;
        let Some(part) = variant_part else {
            return Some(Shape::Struct(name, fields));
        };
        let mut places = Vec::new();
        self.children(part, |child| {
            if child.tag() == dw::DW_TAG_variant {
                places.push(child.offset());
            }
            Some(())
        })?;
        let mut variants = Vec::new();
        for place in places {
            self.children(place, |child| {
                if child.tag() == dw::DW_TAG_member {
                    let variant = self.target(child, depth)?;
                    let name = text(self.dwarf, self.unit, child);
                    variants.push(match (variant, name) {
                        (Shape::Struct(_, fields), Some(name)) => Shape::Struct(name, fields),
                        (variant, _) => variant,
                    });
                }
                Some(())
            })?;
        }
        Some(Shape::Enum(name, variants))
    }

    /// What an entry's type attribute names.
    fn target(&self, entry: &DebuggingInformationEntry<Slice>, depth: u32) -> Option<Shape> {
        match entry.attr_value(dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => self.shape(offset, depth + 1),
            AttributeValue::DebugInfoRef(offset) => {
                // A type of another compilation unit.
                let unit = self.unit_of(offset)?;
                let offset = offset.to_unit_offset(&unit.header)?;
                Reader {
                    dwarf: self.dwarf,
                    unit: &unit,
                }
                .shape(offset, depth + 1)
            }
            _ => None,
        }
    }

    fn unit_of(&self, offset: DebugInfoOffset) -> Option<Unit<Slice>> {
        let mut headers = self.dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let unit = self.dwarf.unit(header).ok()?;
            if offset.to_unit_offset(&unit.header).is_some() {
                return Some(unit);
            }
        }
        None
    }

    /// Passes each direct child of an entry to `each`; ends with `None` when that returns `None`.
    fn children(
        &self,
        offset: UnitOffset,
        mut each: impl FnMut(&DebuggingInformationEntry<Slice>) -> Option<()>,
    ) -> Option<()> {
        let mut tree = self.unit.entries_tree(Some(offset)).ok()?;
        let mut children = tree.root().ok()?.children();
        while let Some(child) = children.next().ok()? {
            each(child.entry())?;
        }
        Some(())
    }
}

fn base(entry: &DebuggingInformationEntry<Slice>, name: &str) -> Option<Shape> {
    let Some(AttributeValue::Encoding(encoding)) = entry.attr_value(dw::DW_AT_encoding) else {
        return None;
    };
    let size = entry.attr_value(dw::DW_AT_byte_size)?.udata_value()? as usize;
    // hubpack encodes these with 64 bits on every machine.
    let size = if ["usize", "isize"].contains(&name) {
        8
    } else {
        size
    };
    Some(match encoding {
        dw::DW_ATE_unsigned if size == 0 => Shape::Struct(String::new(), Vec::new()),
        dw::DW_ATE_unsigned => Shape::Unsigned(size),
        dw::DW_ATE_signed => Shape::Signed(size),
        dw::DW_ATE_float => Shape::Float(size),
        dw::DW_ATE_boolean => Shape::Bool,
        _ => return None,
    })
}

/// The value that `bytes` encode, in the notation of Rust; `None` if they do not fit the shape.
pub fn show(shape: &Shape, bytes: &[u8]) -> Option<String> {
    let mut rest = bytes;
    let text = value(shape, &mut rest)?;
    rest.is_empty().then_some(text)
}

fn value(shape: &Shape, bytes: &mut &[u8]) -> Option<String> {
    Some(match shape {
        Shape::Unsigned(size) => unsigned(*size, bytes)?.to_string(),
        Shape::Signed(size) => {
            let unused = 128_u32.checked_sub(u32::try_from(*size).ok()? * 8)?;
            ((unsigned(*size, bytes)? << unused) as i128 >> unused).to_string()
        }
        Shape::Float(4) => f32::from_bits(unsigned(4, bytes)? as u32).to_string(),
        Shape::Float(8) => f64::from_bits(unsigned(8, bytes)? as u64).to_string(),
        Shape::Float(_) => return None,
        Shape::Bool => match unsigned(1, bytes)? {
            0 => "false".to_owned(),
            1 => "true".to_owned(),
            _ => return None,
        },
        Shape::Array(element, count) => {
            let mut shown = Vec::new();
            for index in 0..*count {
                // Elements of no length would make a wrong count loop without end.
                let before = bytes.len();
                let text = value(element, bytes)?;
                if index < SHOWN as u64 {
                    shown.push(text);
                }
                if bytes.len() == before {
                    break;
                }
            }
            if *count > SHOWN as u64 {
                shown.push("..".to_owned());
            }
            format!("[{}]", shown.join(", "))
        }
        Shape::Struct(name, fields) if fields.is_empty() => name.clone(),
        Shape::Struct(name, fields) => {
            let tuple = fields.iter().all(|(name, _)| name.starts_with("__"));
            let mut shown = Vec::new();
            for (field, shape) in fields {
                let value = value(shape, bytes)?;
                shown.push(if tuple {
                    value
                } else {
                    format!("{field}: {value}")
                });
            }
            if tuple {
                format!("{name}({})", shown.join(", "))
            } else {
                format!("{name} {{ {} }}", shown.join(", "))
            }
        }
        Shape::Enum(name, variants) => {
            let index = usize::try_from(unsigned(1, bytes)?).ok()?;
            let text = value(variants.get(index)?, bytes)?;
            // The variants of these are known without the name of the type.
            if name.starts_with("Option<") || name.starts_with("Result<") {
                text
            } else {
                format!("{name}::{text}")
            }
        }
    })
}

fn unsigned(size: usize, bytes: &mut &[u8]) -> Option<u128> {
    if size > 16 {
        return None;
    }
    let (taken, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(
        taken
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u128::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Shape {
        let fields = vec![
            ("sensor".to_owned(), Shape::Unsigned(1)),
            ("degrees".to_owned(), Shape::Signed(4)),
        ];
        let pair = vec![
            ("__0".to_owned(), Shape::Bool),
            ("__1".to_owned(), Shape::Float(4)),
        ];
        Shape::Enum(
            "Event".to_owned(),
            vec![
                Shape::Struct("Idle".to_owned(), Vec::new()),
                Shape::Struct("Reading".to_owned(), fields),
                Shape::Struct("Pair".to_owned(), pair),
            ],
        )
    }

    #[test]
    fn values_are_shown_in_the_notation_of_rust() {
        for (bytes, text) in [
            (&[0][..], "Event::Idle"),
            (
                &[1, 3, 0xfe, 0xff, 0xff, 0xff],
                "Event::Reading { sensor: 3, degrees: -2 }",
            ),
            (&[2, 1, 0, 0, 0xc0, 0x3f], "Event::Pair(true, 1.5)"),
        ] {
            assert_eq!(show(&reading(), bytes).as_deref(), Some(text));
        }
    }

    #[test]
    fn bytes_of_another_shape_are_refused() {
        for bytes in [&[][..], &[3], &[1, 3], &[0, 0], &[2, 7, 0, 0, 0, 0]] {
            assert_eq!(show(&reading(), bytes), None, "{bytes:?}");
        }
        let many = Shape::Array(Box::new(Shape::Struct(String::new(), Vec::new())), u64::MAX);
        assert_eq!(show(&many, &[]).as_deref(), Some("[, ..]"));
    }
}
