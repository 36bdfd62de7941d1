//! The language of interfaces, and its rules
//!
//! | rule | why |
//! |---|---|
//! | an idempotent operation has no lease that is both read and written | the server may have changed it before it is repeated |
//! | an idempotent operation does not report server death | it is repeated instead |
//! | an operation of which a client is generated and that is not idempotent replies `Result` | its client must learn that the server died |
//! | a lease grants read or write | otherwise it has no effect |
//! | only slices have `max_len` | other types have one length |
//! | `recv` of an argument needs `Zerocopy` | the other encodings decode values themselves; `recv` of a reply is ignored |
//! | `Complex` needs `Hubpack` | it is the only encoding with a bound on the length of an error |

use crate::error::Problem;
use crate::raw;
use indexmap::IndexMap;
use proc_macro2::Ident;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::str::FromStr;
use syn::Type;

/// Operation numbers are 16 bits wide and start at 1.
const MAX_OPERATIONS: usize = u16::MAX as usize;

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name, a part of the names of generated types.
    pub name: Ident,
    /// The operations in order; the first has number 1.
    pub ops: IndexMap<Ident, Operation>,
}

/// An operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its description.
    pub doc: String,
    /// Arguments in order.
    pub args: IndexMap<Ident, AttributedTy>,
    /// Leases in order.
    pub leases: IndexMap<Ident, Lease>,
    /// The reply.
    pub reply: Reply,
    /// Whether it may be repeated if the server dies during the call.
    pub idempotent: bool,
    /// The encoding of arguments and reply.
    pub encoding: Encoding,
}

/// The encoding of values.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Deserialize)]
pub enum Encoding {
    /// As in memory, without padding.
    #[default]
    Zerocopy,
    /// By `ssmarshal`.
    Ssmarshal,
    /// By `hubpack`.
    Hubpack,
}

/// A type, and how a received value is converted to it.
#[derive(Clone, Debug)]
pub struct AttributedTy {
    /// The type in the signature of the operation.
    pub ty: Type,
    /// How a received value is converted to it.
    pub recv: RecvStrategy,
}

/// How a received value is converted.
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few of them, in a build script"
)]
#[derive(Clone, Debug)]
pub enum RecvStrategy {
    /// The bytes are the value (`bool`: one byte, true if not zero).
    FromBytes,
    /// From a number of this primitive type, by `FromPrimitive`.
    FromPrimitive(Ident),
    /// From a value of this type, by `From`, or by the function that is named.
    From(Type, Option<syn::Path>),
}

/// A lease.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Type of its content.
    pub ty: Type,
    /// Whether the server may read it.
    pub read: bool,
    /// Whether the server may write it.
    pub write: bool,
    /// Maximum number of elements, if it is a slice.
    pub max_len: Option<NonZeroU32>,
}

/// The reply.
#[allow(
    clippy::large_enum_variant,
    reason = "there are a few of them, in a build script"
)]
#[derive(Clone, Debug)]
pub enum Reply {
    /// A value; the operation cannot fail.
    Simple(AttributedTy),
    /// A value or an error.
    Result {
        /// The value.
        ok: AttributedTy,
        /// The error.
        err: Error,
    },
}

impl Reply {
    /// The value of success.
    pub fn ok(&self) -> &AttributedTy {
        match self {
            Self::Simple(ok) | Self::Result { ok, .. } => ok,
        }
    }

    /// The type of the error that the interface defines, if it defines one.
    pub fn error_type(&self) -> Option<&Type> {
        match self {
            Self::Result {
                err: Error::CLike(ty) | Error::Complex(ty),
                ..
            } => Some(ty),
            _ => None,
        }
    }

    /// The type of the error that is returned in the body of the reply, if there is one.
    pub fn complex_error(&self) -> Option<&Type> {
        match self {
            Self::Result {
                err: Error::Complex(ty),
                ..
            } => Some(ty),
            _ => None,
        }
    }
}

/// How an error is returned.
#[derive(Clone, Debug)]
pub enum Error {
    /// As the response code.
    CLike(Type),
    /// In the body of the reply.
    Complex(Type),
    /// The only error is the death of the server.
    ServerDeath,
}

impl FromStr for Interface {
    type Err = Problem;

    /// Parses the text of a `.idol` file and checks it.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let raw: raw::Interface = ron::from_str(text).map_err(Problem::new)?;
        let name = identifier("the interface's name", &raw.name)?;
        if raw.ops.0.is_empty() {
            return Err(Problem::new("an interface needs at least one operation"));
        }
        if raw.ops.0.len() > MAX_OPERATIONS {
            return Err(Problem::new(format!(
                "there are more than {MAX_OPERATIONS} operations"
            )));
        }
        let ops = distinct(raw.ops, "operation", |operation, raw| {
            check_operation(raw).map_err(|problem| problem.in_operation(operation))
        })?;
        Ok(Self { name, ops })
    }
}

/// Parses names and values of a map, and refuses a duplicate name.
fn distinct<R, T>(
    pairs: raw::Pairs<R>,
    what: &str,
    parse: impl Fn(&str, R) -> Result<T, Problem>,
) -> Result<IndexMap<Ident, T>, Problem> {
    let mut map = IndexMap::new();
    for (name, raw) in pairs.0 {
        let value = parse(&name, raw)?;
        if map
            .insert(identifier(&format!("the {what}'s name"), &name)?, value)
            .is_some()
        {
            return Err(Problem::new(format!(
                "there are two {what}s with the name \"{name}\""
            )));
        }
    }
    Ok(map)
}

/// Parses an operation and checks every rule that concerns it alone.
fn check_operation(raw: raw::Operation) -> Result<Operation, Problem> {
    let args = distinct(raw.args, "argument", |name, raw| {
        typed(&format!("argument \"{name}\""), raw)
    })?;
    let leases = distinct(raw.leases, "lease", check_lease)?;
    let reply = match raw.reply {
        raw::Reply::Simple(ok) => Reply::Simple(typed("the reply", ok)?),
        raw::Reply::Result { ok, err } => Reply::Result {
            ok: typed("the reply", ok)?,
            err: match err {
                raw::ReplyError::CLike(ty) => Error::CLike(rust_type("the error", &ty)?),
                raw::ReplyError::Complex(ty) => Error::Complex(rust_type("the error", &ty)?),
                raw::ReplyError::ServerDeath => Error::ServerDeath,
            },
        },
    };
    let operation = Operation {
        doc: [raw.doc.0, raw.description.0].join(" ").trim().to_string(),
        args,
        leases,
        reply,
        idempotent: raw.idempotent,
        encoding: raw.encoding,
    };
    check_names(&operation)?;
    check_retry(&operation)?;
    check_encoding(&operation)?;
    Ok(operation)
}

/// Checks that arguments and leases have different names, since they are parameters of one
/// function.
fn check_names(operation: &Operation) -> Result<(), Problem> {
    if operation
        .args
        .keys()
        .chain(operation.leases.keys())
        .any(|name| name == "msg")
    {
        return Err(Problem::new(
            "no argument or lease can have the name \"msg\": the server has a parameter of that name",
        ));
    }
    match operation
        .leases
        .keys()
        .find(|name| operation.args.contains_key(*name))
    {
        Some(name) => Err(Problem::new(format!(
            "\"{name}\" is the name of an argument and of a lease"
        ))),
        None => Ok(()),
    }
}

/// Checks the rules about a server that dies during the operation.
fn check_retry(operation: &Operation) -> Result<(), Problem> {
    if operation.idempotent {
        if let Some((name, _)) = operation
            .leases
            .iter()
            .find(|(_, lease)| lease.read && lease.write)
        {
            return Err(Problem::new(format!(
                "an idempotent operation may not have a lease that is both read and written, as \"{name}\" is: \
                 the server may have changed it before the operation is repeated"
            )));
        }
        if matches!(
            operation.reply,
            Reply::Result {
                err: Error::ServerDeath,
                ..
            }
        ) {
            return Err(Problem::new(
                "an idempotent operation may not report ServerDeath: it is repeated when the server dies",
            ));
        }
    }
    Ok(())
}

/// Checks the rule about operations that only a client breaks: a server of such an interface may be
/// generated, whose clients are written by hand.
pub(crate) fn check_client(iface: &Interface) -> Result<(), Problem> {
    let breaks = |operation: &Operation| {
        !operation.idempotent && matches!(operation.reply, Reply::Simple(_))
    };
    match iface.ops.iter().find(|(_, operation)| breaks(operation)) {
        None => Ok(()),
        Some((name, _)) => Err(Problem::new(
            "an operation that is not idempotent must reply Result, so that the client learns when the server dies",
        )
        .in_operation(&name.to_string())),
    }
}

/// Checks the rules about encodings.
fn check_encoding(operation: &Operation) -> Result<(), Problem> {
    let encoding = operation.encoding;
    if encoding != Encoding::Zerocopy {
        let from_bytes = |ty: &AttributedTy| matches!(ty.recv, RecvStrategy::FromBytes);
        if let Some((name, _)) = operation.args.iter().find(|(_, ty)| !from_bytes(ty)) {
            return Err(Problem::new(format!(
                "argument \"{name}\" may have a recv only with encoding Zerocopy, not with {encoding:?}"
            )));
        }
    }
    if operation.reply.complex_error().is_some() && encoding != Encoding::Hubpack {
        return Err(Problem::new(format!(
            "an error may be Complex only with encoding Hubpack, not with {encoding:?}"
        )));
    }
    Ok(())
}

fn check_lease(name: &str, raw: raw::Lease) -> Result<Lease, Problem> {
    let ty = rust_type(&format!("lease \"{name}\""), &raw.r#type)?;
    if !raw.read && !raw.write {
        return Err(Problem::new(format!(
            "lease \"{name}\" must grant read or write"
        )));
    }
    let max_len = match raw.max_len {
        None => None,
        Some(_) if !is_unsized(&ty) => {
            return Err(Problem::new(format!(
                "lease \"{name}\" may have a max_len only if its type is a slice"
            )));
        }
        Some(max_len) => Some(NonZeroU32::new(max_len).ok_or_else(|| {
            Problem::new(format!(
                "the max_len of lease \"{name}\" must be at least 1"
            ))
        })?),
    };
    Ok(Lease {
        ty,
        read: raw.read,
        write: raw.write,
        max_len,
    })
}

/// Whether values of this type have different lengths.
pub(crate) fn is_unsized(ty: &Type) -> bool {
    matches!(ty, Type::Slice(_) | Type::TraitObject(_))
}

fn typed(what: &str, raw: raw::Typed) -> Result<AttributedTy, Problem> {
    let recv = match raw.recv {
        raw::Recv::FromBytes => RecvStrategy::FromBytes,
        raw::Recv::FromPrimitive(name) => RecvStrategy::FromPrimitive(primitive(what, &name)?),
        raw::Recv::From(ty, function) => {
            let function = function
                .map(|function| rust_path(what, &function))
                .transpose()?;
            RecvStrategy::From(rust_type(what, &ty)?, function)
        }
    };
    Ok(AttributedTy {
        ty: rust_type(what, &raw.ty)?,
        recv,
    })
}

fn identifier(what: &str, text: &str) -> Result<Ident, Problem> {
    syn::parse_str(text)
        .map_err(|_| Problem::new(format!("{what}, \"{text}\", is not a Rust identifier")))
}

fn rust_type(what: &str, text: &str) -> Result<Type, Problem> {
    syn::parse_str(text).map_err(|error| {
        Problem::new(format!(
            "the type of {what}, \"{text}\", is not a Rust type: {error}"
        ))
    })
}

fn rust_path(what: &str, text: &str) -> Result<syn::Path, Problem> {
    syn::parse_str(text).map_err(|error| {
        Problem::new(format!(
            "the recv function of {what}, \"{text}\", is not a path: {error}"
        ))
    })
}

/// The types that `FromPrimitive` converts from.
fn primitive(what: &str, text: &str) -> Result<Ident, Problem> {
    const PRIMITIVES: [&str; 14] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
        "f32", "f64",
    ];
    if !PRIMITIVES.contains(&text) {
        return Err(Problem::new(format!(
            "the recv of {what} is FromPrimitive(\"{text}\"), which is not a primitive type"
        )));
    }
    identifier(what, text)
}
