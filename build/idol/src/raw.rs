//! The RON of an interface: names and types are strings, maps are lists of pairs
//!
//! Keys that are not listed here are ignored.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A map in its order in the file, duplicate keys included.
#[derive(Clone, Debug)]
pub struct Pairs<T>(pub Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PairsVisitor<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

/// `Interface(...)`.
#[derive(Clone, Debug, Deserialize)]
pub struct Interface {
    pub name: String,
    pub ops: Pairs<Operation>,
}

/// One entry of `ops`.
#[derive(Clone, Debug, Deserialize)]
pub struct Operation {
    #[serde(default)]
    pub doc: Words,
    #[serde(default)]
    pub description: Words,
    #[serde(default)]
    pub args: Pairs<Typed>,
    #[serde(default)]
    pub leases: Pairs<Lease>,
    pub reply: Reply,
    #[serde(default)]
    pub idempotent: bool,
    #[serde(default)]
    pub encoding: Encoding,
}

/// The description of an operation, if it is a string. The language has no rule about it.
#[derive(Clone, Debug, Default)]
pub struct Words(pub String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match ron::Value::deserialize(deserializer)? {
            ron::Value::String(words) => Self(words),
            _ => Self::default(),
        })
    }
}

/// A type, alone or with a conversion.
#[derive(Clone, Debug)]
pub struct Typed {
    pub ty: String,
    pub recv: Recv,
}

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Full {
            r#type: String,
            #[serde(default)]
            recv: Recv,
        }

        struct TypedVisitor;

        impl<'de> Visitor<'de> for TypedVisitor {
            type Value = Typed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type as a string, or (type: ..., recv: ...)")
            }

            fn visit_str<E: Error>(self, ty: &str) -> Result<Typed, E> {
                Ok(Typed {
                    ty: ty.to_string(),
                    recv: Recv::default(),
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Typed, A::Error> {
                let Full { r#type: ty, recv } = Full::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Typed { ty, recv })
            }
        }

        deserializer.deserialize_any(TypedVisitor)
    }
}

/// How a received value is converted.
#[derive(Clone, Debug, Default, Deserialize)]
pub enum Recv {
    #[default]
    FromBytes,
    FromPrimitive(String),
    From(String, Option<String>),
}

/// One entry of `leases`.
#[derive(Clone, Debug, Deserialize)]
pub struct Lease {
    pub r#type: String,
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
    #[serde(default)]
    pub max_len: Option<u32>,
}

/// The reply.
#[derive(Clone, Debug, Deserialize)]
pub enum Reply {
    Simple(Typed),
    Result { ok: Typed, err: ReplyError },
}

/// How an error is returned.
#[derive(Clone, Debug, Deserialize)]
pub enum ReplyError {
    CLike(String),
    Complex(String),
    ServerDeath,
}

pub use crate::syntax::Encoding;
