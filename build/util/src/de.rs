//! Reads Rust types from parsed TOML, with errors that name the key
//!
//! `toml::Value` is a serde deserializer, too, but its errors have neither the path of the key nor,
//! for an unknown key, the list of known ones, which a suggestion needs. serde passes both to the
//! error type of this deserializer.

use crate::problem::{Problem, Step};
use crate::suggest::hint;
use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use std::fmt::Display;
use toml::Value;

/// Reads a `T` from `value`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    T::deserialize(Node(value))
}

impl de::Error for Problem {
    fn custom<T: Display>(message: T) -> Self {
        Problem::at(&[], message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Problem::at(&[], format!("is {found}, must be {}", kind(expected)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Problem::at(&[], format!("is {found}, must be {}", kind(expected)))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let hint = hint(found, expected.iter().copied());
        Problem::at(&[], format!("`{found}` is not known{hint}"))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        let hint = hint(found, expected.iter().copied());
        Problem::at(&[found], format!("unknown key{hint}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Problem::at(&[field], "missing")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Problem::at(&[field], "given twice")
    }
}

/// The names of types in messages: serde's, replaced by the words of TOML.
fn kind(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u8" => "a number from 0 to 255".into(),
        "u16" => "a number from 0 to 65535".into(),
        "u32" => "a number from 0 to 0xffff_ffff".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table".into(),
        other if other.starts_with("struct ") => "a table".into(),
        other => other.into(),
    }
}

/// A value that is being read.
struct Node(Value);

impl<'de> Deserializer<'de> for Node {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(value) => visitor.visit_string(value),
            Value::Integer(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Datetime(value) => visitor.visit_string(value.to_string()),
            Value::Array(values) => visitor.visit_seq(List {
                values: values.into_iter(),
                next: 0,
            }),
            Value::Table(table) => visitor.visit_map(Fields {
                fields: table.into_iter(),
                value: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Problem> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0 {
            Value::String(name) => {
                visitor.visit_enum(IntoDeserializer::<Problem>::into_deserializer(name))
            }
            other => Err(Problem::at(
                &[],
                format!("is {}, must be a string", other.type_str()),
            )),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The elements of a list.
struct List {
    values: std::vec::IntoIter<Value>,
    next: usize,
}

impl<'de> SeqAccess<'de> for List {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Problem> {
        let Some(value) = self.values.next() else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Node(value))
            .map(Some)
            .map_err(|problem| problem.under(Step::Index(index)))
    }
}

/// The keys and values of a table.
struct Fields {
    fields: toml::map::IntoIter<String, Value>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Problem> {
        let Some((key, value)) = self.fields.next() else {
            return Ok(None);
        };
        self.value = Some((key.clone(), value));
        seed.deserialize(StringDeserializer::<Problem>::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Problem> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        seed.deserialize(Node(value))
            .map_err(|problem| problem.under(Step::Key(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml_task::Task;

    fn line(text: &str) -> String {
        let value = toml::from_str(text).expect("TOML");
        match from_value::<Task<Value>>(value) {
            Ok(task) => format!("{:?}", task.task_slots),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn names_key_rule_and_remedy() {
        let cases = [
            (
                "name = 'n'\npriorty = 1",
                "priorty: unknown key; did you mean `priority`?",
            ),
            (
                "name = 'n'\npriority = 300",
                "priority: is integer `300`, must be a number from 0 to 255",
            ),
            (
                "name = 'n'\npriority = -1",
                "priority: is integer `-1`, must be a number from 0 to 255",
            ),
            (
                "name = 'n'\npriority = 1\nuses = 'uart'",
                "uses: is string \"uart\", must be a list",
            ),
            (
                "name = 'n'\npriority = 1\nuses = ['a', 2]",
                "uses[1]: is integer `2`, must be a string",
            ),
            ("priority = 1", "name: missing"),
            (
                "name = 'n'\npriority = 1\ntask-slots = [3]",
                "task-slots[0]: is integer `3`, must be \"task\" or { slot = \"task\" }",
            ),
            (
                "name = 'n'\npriority = 1\ntask-slots = ['a', { b = 'c' }]",
                "{\"a\": \"a\", \"b\": \"c\"}",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text), expected);
        }
    }
}
