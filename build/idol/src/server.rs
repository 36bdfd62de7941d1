//! The server's side: a trait with a method for each operation, and what stands between it and the messages.
//!
//! For a message the generated `handle` does, in this order: may this task call this operation; do the arguments
//! decode; do the leases hold what they should. Only then it calls the method, and sends what that returns. Whatever
//! fails before is the client's error: see `idol_runtime::ClientError`.

use crate::common::{
    args_struct, generate_op_enum_with_derives, max_hubpack_size, max_of, op_doc, operation_enum,
    reply_struct, upper,
};
use crate::counting::Counting;
use crate::error::{BoxedError, Problem};
use crate::generator::{ErrorServer, Generator};
use crate::syntax::{
    AttributedTy, Encoding, Error, Interface, Lease, Operation, RecvStrategy, Reply, is_unsized,
};
use indexmap::IndexMap;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeMap;
use std::path::Path;
use syn::{Type, parse_quote};

/// How a server works through its messages.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum ServerStyle {
    /// One after the other, each answered before the next is received (or later, by the server itself).
    #[default]
    InOrder,
}

/// Writes the server's side of the interface in the file `src` to `stub_name` in `OUT_DIR`; see
/// [`Generator::build_server_support`].
///
/// # Errors
///
/// If the file cannot be read, is wrong, or the result cannot be written.
pub fn build_server_support(
    src: impl AsRef<Path>,
    stub_name: &str,
    style: ServerStyle,
) -> Result<(), BoxedError> {
    Generator::default().build_server_support(src, stub_name, style)
}

/// The same, with operations that only some tasks may call; see [`Generator::build_restricted_server_support`].
///
/// # Errors
///
/// As above, and if `allowed_callers` names an operation that does not exist.
pub fn build_restricted_server_support(
    src: impl AsRef<Path>,
    stub_name: &str,
    style: ServerStyle,
    allowed_callers: &BTreeMap<String, Vec<usize>>,
) -> Result<(), BoxedError> {
    Generator::default().build_restricted_server_support(src, stub_name, style, allowed_callers)
}

/// Who may call an operation, for those that not every task may.
type AllowedCallers = BTreeMap<String, Vec<usize>>;

/// All of the server's side. `text` is the description that `iface` was read from.
pub(crate) fn generate(
    iface: &Interface,
    text: &str,
    style: ServerStyle,
    allowed_callers: &AllowedCallers,
    generator: &Generator,
) -> Result<TokenStream, Problem> {
    let ServerStyle::InOrder = style;
    if let Some(unknown) = allowed_callers
        .keys()
        .find(|op| !iface.ops.keys().any(|known| known == op.as_str()))
    {
        return Err(Problem::new(format!(
            "allowed callers are given for operation \"{unknown}\", which the interface does not have"
        )));
    }
    let counting = Counting::of_server(iface, generator.counters());
    let definition = definition(iface, text);
    let sizes = sizes(iface);
    let messages = iface
        .ops
        .iter()
        .map(|(op, operation)| message(iface, op, operation));
    let operations = generate_op_enum_with_derives(iface, generator.op_enum_derives());
    let server_op = server_op(iface);
    let counters = counting
        .as_ref()
        .map(|counting| counting.definitions(iface));
    let server_trait = server_trait(iface);
    let server = server(iface, allowed_callers, counting.as_ref());
    let fail_server = fail_server(iface, generator.error_server())?;
    Ok(quote! {
        #[allow(unused_imports)]
        use userlib::UnwrapLite;

        #definition
        #sizes
        #(#messages)*
        #operations
        #server_op
        #counters
        #server_trait
        #server
        #fail_server
    })
}

/// The text of the description, for debuggers.
fn definition(iface: &Interface, text: &str) -> TokenStream {
    let name = format_ident!("_{}_IDOL_DEFINITION", upper(&iface.name));
    let length = Literal::usize_unsuffixed(text.len());
    let text = Literal::byte_string(text.as_bytes());
    quote! {
        #[used]
        #[unsafe(link_section = ".idolatry")]
        static #name: [u8; #length] = *#text;
    }
}

fn message_size(op: &Ident) -> Ident {
    format_ident!("{}_MSG_SIZE", upper(op))
}

fn reply_size(op: &Ident) -> Ident {
    format_ident!("{}_REPLY_SIZE", upper(op))
}

fn read_message(op: &Ident) -> Ident {
    format_ident!("read_{op}_msg")
}

/// Sizes of messages and replies, and of the longest message.
fn sizes(iface: &Interface) -> TokenStream {
    let sizes = iface.ops.iter().map(|(op, operation)| {
        let (message, reply) = (message_size(op), reply_size(op));
        let (message_doc, reply_doc) = (
            format!(" Longest message of `{op}`, in bytes."),
            format!(" Longest reply of `{op}`, in bytes."),
        );
        let (message_value, reply_value) = (operation.message_size(), operation.ok_size());
        quote! {
            #[doc = #message_doc]
            #[allow(dead_code)]
            pub const #message: usize = #message_value;
            #[doc = #reply_doc]
            #[allow(dead_code)]
            pub const #reply: usize = #reply_value;
        }
    });
    let messages = iface.ops.keys().map(message_size);
    quote! {
        #(#sizes)*
        /// Longest message of all operations, in bytes: what the server needs a buffer for.
        #[allow(dead_code)]
        pub const INCOMING_SIZE: usize = {
            let mut longest = 0;
            let mut sizes: &[usize] = &[#(#messages),*];
            while let [size, rest @ ..] = sizes {
                longest = if *size > longest { *size } else { longest };
                sizes = rest;
            }
            longest
        };
    }
}

/// The arguments of an operation and how they are read.
fn message(iface: &Interface, op: &Ident, operation: &Operation) -> TokenStream {
    let args = args_struct(iface, op);
    let read = read_message(op);
    let args_doc = format!(" Arguments of `{op}`.");
    let read_doc = format!(" Reads the arguments of `{op}`; `None` if they do not decode.");
    match operation.encoding {
        Encoding::Zerocopy => {
            let fields = operation.args.iter().map(|(name, arg)| {
                let (field, ty) = (field(name, arg), arg.wire_type());
                quote! { pub #field: #ty }
            });
            let accessors = operation
                .args
                .iter()
                .filter_map(|(name, arg)| accessor(name, arg));
            let reply = reply_type(iface, op, operation);
            quote! {
                #[doc = #args_doc]
                #[allow(missing_docs, nonstandard_style)]
                #[derive(
                    Copy, Clone, zerocopy::FromBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
                )]
                #[repr(C, packed)]
                pub struct #args {
                    #(#fields,)*
                }

                #[allow(dead_code)]
                impl #args {
                    #(#accessors)*
                }

                #[doc = #read_doc]
                #[inline(always)]
                pub fn #read(bytes: &[u8]) -> ::core::option::Option<&#args> {
                    zerocopy::FromBytes::ref_from_bytes(bytes).ok()
                }

                #reply
            }
        }
        Encoding::Ssmarshal | Encoding::Hubpack => {
            let (names, types): (Vec<_>, Vec<_>) = operation
                .args
                .iter()
                .map(|(name, arg)| (name, &arg.ty))
                .unzip();
            let body = match operation.encoding {
                Encoding::Hubpack => quote! {
                    match hubpack::deserialize(bytes) {
                        ::core::result::Result::Ok((args, [])) => ::core::option::Option::Some(args),
                        _ => ::core::option::Option::None,
                    }
                },
                _ => quote! {
                    match ssmarshal::deserialize(bytes) {
                        ::core::result::Result::Ok((args, length)) if length == bytes.len() => {
                            ::core::option::Option::Some(args)
                        }
                        _ => ::core::option::Option::None,
                    }
                },
            };
            quote! {
                #[doc = #args_doc]
                #[allow(missing_docs, nonstandard_style)]
                #[derive(serde::Deserialize)]
                pub struct #args {
                    #(pub #names: #types,)*
                }

                #[doc = #read_doc]
                pub fn #read(bytes: &[u8]) -> ::core::option::Option<#args> {
                    #body
                }
            }
        }
    }
}

/// Name of the field that an argument arrives in.
fn field(name: &Ident, arg: &AttributedTy) -> Ident {
    if arg.is_converted() {
        format_ident!("raw_{name}")
    } else {
        name.clone()
    }
}

/// The function that makes an argument of its field, if it is not the field itself.
fn accessor(name: &Ident, arg: &AttributedTy) -> Option<TokenStream> {
    if !arg.is_converted() {
        return None;
    }
    let field = field(name, arg);
    let ty = &arg.ty;
    let (result, value) = match &arg.recv {
        RecvStrategy::FromBytes => (quote! { bool }, quote! { self.#field != 0 }),
        RecvStrategy::FromPrimitive(primitive) => {
            let from = format_ident!("from_{primitive}");
            let value = quote! { <#ty as userlib::FromPrimitive>::#from(self.#field) };
            (quote! { ::core::option::Option<#ty> }, value)
        }
        RecvStrategy::From(_, None) => (
            quote! { #ty },
            quote! { ::core::convert::Into::into(self.#field) },
        ),
        RecvStrategy::From(_, Some(function)) => {
            (quote! { #ty }, quote! { #function(self.#field) })
        }
    };
    let doc = format!(" The argument `{name}`, of what has arrived.");
    Some(quote! {
        #[doc = #doc]
        #[inline(always)]
        pub fn #name(&self) -> #result {
            #value
        }
    })
}

/// Type and static from which a debugger learns what a reply looks like. The static costs one word of `.bss`.
fn reply_type(iface: &Interface, op: &Ident, operation: &Operation) -> Option<TokenStream> {
    let Reply::Result { ok, .. } = &operation.reply else {
        return None;
    };
    let reply = reply_struct(iface, op);
    let name = format_ident!("{}_{}_REPLY", upper(&iface.name), upper(op));
    let ty = ok.wire_type();
    let doc = format!(" Reply of `{op}`.");
    Some(quote! {
        #[doc = #doc]
        #[allow(dead_code, missing_docs, nonstandard_style)]
        #[repr(C, packed)]
        pub struct #reply {
            pub value: #ty,
        }

        #[used]
        static #name: ::core::option::Option<&#reply> = ::core::option::Option::None;
    })
}

/// What the runtime checks without knowing the operation's types.
fn server_op(iface: &Interface) -> TokenStream {
    let name = operation_enum(iface);
    let reply_sizes = iface.ops.iter().map(|(op, operation)| {
        let ok = reply_size(op);
        let size = match operation.reply.complex_error() {
            Some(error) => max_of(&quote! { #ok }, &max_hubpack_size(error)),
            None => quote! { #ok },
        };
        quote! { Self::#op => const { #size } }
    });
    let lease_counts = iface.ops.iter().map(|(op, operation)| {
        let count = Literal::usize_unsuffixed(operation.leases.len());
        quote! { Self::#op => #count }
    });
    quote! {
        impl idol_runtime::ServerOp for #name {
            #[inline(always)]
            fn max_reply_size(self) -> usize {
                match self {
                    #(#reply_sizes,)*
                }
            }

            #[inline(always)]
            fn required_lease_count(self) -> usize {
                match self {
                    #(#lease_counts,)*
                }
            }
        }
    }
}

/// The type that an operation's errors have on the server's side, and that of its result.
fn error_and_result(operation: &Operation) -> (Type, TokenStream) {
    let ok = &operation.reply.ok().ty;
    let error = operation
        .reply
        .error_type()
        .cloned()
        .unwrap_or_else(|| parse_quote!(::core::convert::Infallible));
    let result = quote! { ::core::result::Result<#ok, idol_runtime::RequestError<#error>> };
    (error, result)
}

/// The type that a lease has on the server's side.
fn leased_type(
    Lease {
        ty,
        read,
        write,
        max_len,
    }: &Lease,
) -> TokenStream {
    let attribute = match (read, write) {
        (true, true) => quote! { idol_runtime::RW },
        (false, true) => quote! { idol_runtime::W },
        (_, false) => quote! { idol_runtime::R },
    };
    let leased = quote! { idol_runtime::Leased<#attribute, #ty> };
    match max_len {
        None => leased,
        Some(max_len) => {
            let max_len = Literal::u32_unsuffixed(max_len.get());
            quote! { idol_runtime::LenLimit<#leased, #max_len> }
        }
    }
}

fn trait_name(iface: &Interface) -> Ident {
    format_ident!("InOrder{}Impl", iface.name)
}

/// Parameters of an operation's method, after `self` and the message.
fn parameters(operation: &Operation) -> impl Iterator<Item = TokenStream> {
    let args = operation.args.iter().map(|(name, arg)| {
        let ty = &arg.ty;
        quote! { #name: #ty }
    });
    let leases = operation.leases.iter().map(|(name, lease)| {
        let ty = leased_type(lease);
        quote! { #name: #ty }
    });
    args.chain(leases)
}

/// The trait that a server implements.
fn server_trait(iface: &Interface) -> TokenStream {
    let name = trait_name(iface);
    let doc = format!(
        " What a server of `{}` does, one operation after the other.",
        iface.name
    );
    let methods = iface.ops.iter().map(|(op, operation)| {
        let doc = op_doc(op, operation);
        let parameters = parameters(operation);
        let (_, result) = error_and_result(operation);
        // A client of an operation that is not repeated must be able to say that the server died.
        let bound = match &operation.reply {
            Reply::Result {
                err: Error::CLike(ty),
                ..
            } if !operation.idempotent => Some(
                quote! { where #ty: idol_runtime::IHaveConsideredServerDeathWithThisErrorType },
            ),
            Reply::Result {
                err: Error::Complex(ty),
                ..
            } if !operation.idempotent => {
                Some(quote! { where #ty: ::core::convert::From<idol_runtime::ServerDeath> })
            }
            _ => None,
        };
        quote! {
            #[doc = #doc]
            #[allow(clippy::too_many_arguments)]
            fn #op(&mut self, msg: &userlib::RecvMessage #(, #parameters)*) -> #result #bound;
        }
    });
    quote! {
        #[doc = #doc]
        pub trait #name: idol_runtime::NotificationHandler {
            /// The only task to receive from; `None` for all.
            fn recv_source(&self) -> ::core::option::Option<userlib::TaskId> {
                ::core::option::Option::None
            }

            /// Called if that task turns out to have been restarted.
            fn closed_recv_fail(&mut self) {
                ::core::panic!()
            }

            #(#methods)*
        }
    }
}

/// What stands between messages and the trait.
fn server(
    iface: &Interface,
    allowed_callers: &AllowedCallers,
    counting: Option<&Counting>,
) -> TokenStream {
    let operations = operation_enum(iface);
    let trait_name = trait_name(iface);
    let arms = iface.ops.iter().map(|(op, operation)| {
        let body = handle(
            op,
            operation,
            allowed_callers.get(&op.to_string()),
            counting,
        );
        quote! { #operations::#op => { #body } }
    });
    quote! {
        impl<S: #trait_name> idol_runtime::Server<#operations>
            for (::core::marker::PhantomData<#operations>, &'_ mut S)
        {
            #[inline(always)]
            fn recv_source(&self) -> ::core::option::Option<userlib::TaskId> {
                self.1.recv_source()
            }

            #[inline(always)]
            fn closed_recv_fail(&mut self) {
                self.1.closed_recv_fail()
            }

            #[allow(unused_variables, clippy::let_unit_value, clippy::unit_arg)]
            #[inline(always)]
            fn handle(
                &mut self,
                op: #operations,
                incoming: &[u8],
                rm: &userlib::RecvMessage,
            ) -> ::core::result::Result<(), idol_runtime::RequestError<u16>> {
                match op {
                    #(#arms)*
                }
            }
        }
    }
}

/// Statements that handle one operation.
fn handle(
    op: &Ident,
    operation: &Operation,
    callers: Option<&Vec<usize>>,
    counting: Option<&Counting>,
) -> TokenStream {
    let check_caller = match callers.map(Vec::as_slice) {
        None => None,
        Some([]) => {
            return quote! {
                // Nobody may.
                ::core::result::Result::Err(idol_runtime::ClientError::AccessViolation.fail())
            };
        }
        Some(callers) => {
            let callers = callers
                .iter()
                .map(|index| Literal::usize_unsuffixed(*index));
            Some(quote! {
                if !::core::matches!(rm.sender.index(), #(#callers)|*) {
                    return ::core::result::Result::Err(idol_runtime::ClientError::AccessViolation.fail());
                }
            })
        }
    };
    let read = read_message(op);
    let args = operation.args.iter().map(|(name, arg)| match &arg.recv {
        _ if operation.encoding != Encoding::Zerocopy || !arg.is_converted() => {
            quote! { args.#name }
        }
        RecvStrategy::FromPrimitive(_) => {
            quote! { args.#name().ok_or(idol_runtime::ClientError::BadMessageContents.fail())? }
        }
        _ => quote! { args.#name() },
    });
    let leases = operation.leases.values().enumerate().map(take_lease);
    let reply = reply(op, operation, counting);
    quote! {
        #check_caller
        let args = #read(incoming).ok_or(idol_runtime::ClientError::BadMessageContents.fail())?;
        let result = self.1.#op(rm #(, #args)* #(, #leases)*);
        #reply
    }
}

/// Expression that takes one lease.
fn take_lease((index, lease): (usize, &Lease)) -> TokenStream {
    let index = Literal::usize_unsuffixed(index);
    let constructor = match (lease.read, lease.write) {
        (true, true) => "read_write",
        (false, true) => "write_only",
        (_, false) => "read_only",
    };
    let bad_lease = quote! { idol_runtime::ClientError::BadLease.fail() };
    if !is_unsized(&lease.ty) {
        let constructor = format_ident!("{constructor}");
        return quote! { idol_runtime::Leased::#constructor(rm.sender, #index).ok_or(#bad_lease)? };
    }
    let constructor = format_ident!("{constructor}_slice");
    match lease.max_len {
        None => quote! {
            idol_runtime::Leased::#constructor(rm.sender, #index, ::core::option::Option::None).ok_or(#bad_lease)?
        },
        Some(max_len) => {
            let max_len = Literal::u32_unsuffixed(max_len.get());
            quote! {
                idol_runtime::Leased::#constructor(rm.sender, #index, ::core::num::NonZeroU32::new(#max_len))
                    .and_then(|lease| ::core::convert::TryFrom::try_from(lease).ok())
                    .ok_or(#bad_lease)?
            }
        }
    }
}

/// Statements that send what the method has returned.
fn reply(op: &Ident, operation: &Operation, counting: Option<&Counting>) -> TokenStream {
    let size = reply_size(op);
    let send_ok = match operation.encoding {
        Encoding::Zerocopy => quote! {
            userlib::sys_reply(rm.sender, 0, zerocopy::IntoBytes::as_bytes(&value));
        },
        encoding => send_encoded(encoding, 0, &quote! { #size }),
    };
    let errors = match &operation.reply {
        Reply::Simple(_)
        | Reply::Result {
            err: Error::ServerDeath,
            ..
        } => quote! {
            ::core::result::Result::Err(error) => {
                ::core::result::Result::Err(error.map_runtime(|error| match error {}))
            }
        },
        Reply::Result {
            err: Error::CLike(_),
            ..
        } => quote! {
            ::core::result::Result::Err(error) => {
                ::core::result::Result::Err(error.map_runtime(::core::convert::From::from))
            }
        },
        Reply::Result {
            err: Error::Complex(ty),
            ..
        } => {
            let send = send_encoded(Encoding::Hubpack, 1, &max_hubpack_size(ty));
            quote! {
                ::core::result::Result::Err(idol_runtime::RequestError::Fail(error)) => {
                    ::core::result::Result::Err(error.fail())
                }
                ::core::result::Result::Err(idol_runtime::RequestError::Runtime(value)) => {
                    #send
                    ::core::result::Result::Ok(())
                }
            }
        }
    };
    let count = counting.map(|counting| {
        let (ok, err) = (
            counting.ok(op, operation),
            counting.err(op, operation, &quote! { error }),
        );
        quote! {
            match &result {
                ::core::result::Result::Ok(_) => { #ok }
                ::core::result::Result::Err(error) => { #err }
            }
        }
    });
    quote! {
        #count
        match result {
            ::core::result::Result::Ok(value) => {
                #send_ok
                ::core::result::Result::Ok(())
            }
            #errors
        }
    }
}

/// Statements that encode the variable `value` and reply with it.
fn send_encoded(encoding: Encoding, code: u32, size: &TokenStream) -> TokenStream {
    let serialize = match encoding {
        Encoding::Hubpack => quote! { hubpack::serialize },
        _ => quote! { ssmarshal::serialize },
    };
    let code = Literal::u32_unsuffixed(code);
    quote! {
        let mut reply = [0_u8; #size];
        // The buffer has room for the longest value.
        let length = #serialize(&mut reply, &value).unwrap_lite();
        userlib::sys_reply(rm.sender, #code, reply.get(..length).unwrap_lite());
    }
}

/// A server that answers everything with one error, if all operations have errors of one type.
fn fail_server(iface: &Interface, wanted: ErrorServer) -> Result<Option<TokenStream>, Problem> {
    if wanted == ErrorServer::Never {
        return Ok(None);
    }
    let errors: IndexMap<Option<&Type>, &Ident> = iface
        .ops
        .iter()
        .map(|(op, operation)| (operation.reply.error_type(), op))
        .collect();
    let mut errors = errors.into_keys();
    let (Some(Some(error)), None) = (errors.next(), errors.next()) else {
        return match wanted {
            ErrorServer::Always => Err(Problem::new(
                "an error server was asked for, but the operations do not share one error type",
            )),
            _ => Ok(None),
        };
    };
    let trait_name = trait_name(iface);
    let methods = iface.ops.iter().map(|(op, operation)| {
        let parameters = parameters(operation);
        let (_, result) = error_and_result(operation);
        quote! {
            fn #op(&mut self, msg: &userlib::RecvMessage #(, #parameters)*) -> #result {
                ::core::result::Result::Err(idol_runtime::RequestError::Runtime(
                    ::core::clone::Clone::clone(&self.err),
                ))
            }
        }
    });
    let doc = format!(
        " A server of `{}` that answers everything with the same error.",
        iface.name
    );
    Ok(Some(quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        pub struct FailServer {
            err: #error,
        }

        #[allow(dead_code)]
        impl FailServer {
            /// A server that answers with `err`.
            pub fn new(err: #error) -> Self {
                Self { err }
            }
        }

        impl idol_runtime::NotificationHandler for FailServer {
            fn current_notification_mask(&self) -> u32 {
                0
            }

            fn handle_notification(&mut self, _bits: userlib::NotificationBits) {}
        }

        #[allow(unused_variables, clippy::clone_on_copy, clippy::too_many_arguments)]
        impl #trait_name for FailServer {
            #(#methods)*
        }
    }))
}
