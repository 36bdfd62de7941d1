//! Messages on the side of the server: types, sizes and decoding

use crate::common::{args_struct, max_hubpack_size, max_of, operation_enum, reply_struct, upper};
use crate::syntax::{AttributedTy, Encoding, Interface, Operation, RecvStrategy, Reply};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// The text of the description, for debuggers.
pub(super) fn definition(iface: &Interface, text: &str) -> TokenStream {
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

pub(super) fn reply_size(op: &Ident) -> Ident {
    format_ident!("{}_REPLY_SIZE", upper(op))
}

pub(super) fn read_message(op: &Ident) -> Ident {
    format_ident!("read_{op}_msg")
}

/// Sizes of messages and replies, and of the longest message.
pub(super) fn sizes(iface: &Interface) -> TokenStream {
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
        /// Longest message of all operations, in bytes: the size of the server's buffer.
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

/// The arguments of an operation, and their decoding.
pub(super) fn message(iface: &Interface, op: &Ident, operation: &Operation) -> TokenStream {
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
                #[allow(dead_code)]
                #[inline(always)]
                pub fn #read(bytes: &[u8]) -> ::core::option::Option<&#args> {
                    zerocopy::FromBytes::ref_from_bytes(bytes).ok()
                }

                #reply
            }
        }
        Encoding::Ssmarshal | Encoding::Hubpack => {
            // Only a `bool` is received as another type: as a byte, as in the other encoding.
            let (names, types): (Vec<_>, Vec<_>) = operation
                .args
                .iter()
                .map(|(name, arg)| (field(name, arg), arg.wire_type()))
                .unzip();
            let accessors = operation
                .args
                .iter()
                .filter_map(|(name, arg)| accessor(name, arg));
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
                #[allow(dead_code, missing_docs, nonstandard_style)]
                #[derive(serde::Deserialize)]
                pub struct #args {
                    #(pub #names: #types,)*
                }

                #[allow(dead_code)]
                impl #args {
                    #(#accessors)*
                }

                #[doc = #read_doc]
                #[allow(dead_code)]
                pub fn #read(bytes: &[u8]) -> ::core::option::Option<#args> {
                    #body
                }
            }
        }
    }
}

/// Name of the field that an argument is received in.
fn field(name: &Ident, arg: &AttributedTy) -> Ident {
    if arg.is_converted() {
        format_ident!("raw_{name}")
    } else {
        name.clone()
    }
}

/// The function that converts a received field to the argument, if they differ.
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

/// Static, of no size, that gives a debugger the layout of the arguments of an operation that no
/// task may call: no code reads them.
pub(super) fn argument_type(iface: &Interface, op: &Ident) -> TokenStream {
    let args = args_struct(iface, op);
    let name = format_ident!("{}_{}_ARGUMENTS", upper(&iface.name), upper(op));
    quote! {
        #[used]
        static #name: ::core::marker::PhantomData<&#args> = ::core::marker::PhantomData;
    }
}

/// Type and static that give a debugger the layout of a reply. The static takes one word of `.bss`.
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

/// What the runtime checks for an operation, independent of its types.
pub(super) fn server_op(iface: &Interface) -> TokenStream {
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
            const CHECKED_BY_HANDLE: bool = true;

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
