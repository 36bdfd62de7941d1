//! The client's side: a type with a method for each operation
//!
//! A method encodes the arguments, sends them, and decodes the reply. The client stores the task id
//! of the server. When a response code says that the server has been restarted, the client stores
//! the new id. Then an idempotent operation is repeated, without a limit; any other returns the
//! error.
//!
//! Local variables of a method whose names arguments or leases could have begin with two
//! underscores.

use crate::common::{
    args_struct, generate_op_enum_with_derives, is_bool, max_hubpack_size, max_of, op_doc,
    operation_enum, reply_struct,
};
use crate::counting::Counting;
use crate::error::BoxedError;
use crate::generator::Generator;
use crate::syntax::{
    AttributedTy, Encoding, Error, Interface, Lease, Operation, RecvStrategy, Reply,
};
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use std::path::Path;
use syn::Type;

/// Writes the client of the interface in the file `src` to `stub_name` in `OUT_DIR`; see
/// [`Generator::build_client_stub`].
///
/// # Errors
///
/// If the file cannot be read, is wrong, or the result cannot be written.
pub fn build_client_stub(src: impl AsRef<Path>, stub_name: &str) -> Result<(), BoxedError> {
    Generator::default().build_client_stub(src, stub_name)
}

/// The client of the interface that is described in `contents`.
///
/// # Errors
///
/// If the description is wrong.
pub fn generate_client_stub(contents: &str) -> Result<String, BoxedError> {
    Generator::default().generate_client_stub(contents)
}

/// The client of the interface in the file `src`.
///
/// # Errors
///
/// If the file cannot be read or is wrong.
pub fn generate_client_stub_from_file(src: impl AsRef<Path>) -> Result<String, BoxedError> {
    Generator::default().generate_client_stub_from_file(src)
}

/// All of the client.
pub(crate) fn generate(iface: &Interface, generator: &Generator) -> TokenStream {
    let name = &iface.name;
    let operations = generate_op_enum_with_derives(iface, generator.op_enum_derives());
    let counting = Counting::of_client(iface, generator.counters());
    let counters = counting
        .as_ref()
        .map(|counting| counting.definitions(iface));
    let methods = iface
        .ops
        .iter()
        .map(|(op, operation)| method(iface, op, operation, counting.as_ref()));
    let doc = format!(" Client of `{name}`: where its server is.");
    quote! {
        // Not used here: crates with upstream's clients rely on it.
        #[allow(unused_imports)]
        use userlib::UnwrapLite;

        #operations
        #counters

        #[doc = #doc]
        #[derive(Clone, Debug)]
        pub struct #name {
            current_id: ::core::cell::Cell<userlib::TaskId>,
        }

        impl ::core::convert::From<userlib::TaskId> for #name {
            fn from(id: userlib::TaskId) -> Self {
                Self { current_id: ::core::cell::Cell::new(id) }
            }
        }

        impl #name {
            #(#methods)*
        }
    }
}

/// The method of one operation.
fn method(
    iface: &Interface,
    op: &Ident,
    operation: &Operation,
    counting: Option<&Counting>,
) -> TokenStream {
    let doc = op_doc(op, operation);
    let args = operation.args.iter().map(|(name, arg)| {
        let ty = &arg.ty;
        quote! { #name: #ty }
    });
    let lease_args = operation
        .leases
        .iter()
        .map(|(name, Lease { ty, write, .. })| {
            let mutable = write.then(|| quote! { mut });
            quote! { #name: &#mutable #ty }
        });
    let ok = &operation.reply.ok().ty;
    let result = match &operation.reply {
        Reply::Simple(_) => quote! { #ok },
        Reply::Result {
            err: Error::CLike(err) | Error::Complex(err),
            ..
        } => {
            quote! { ::core::result::Result<#ok, #err> }
        }
        Reply::Result {
            err: Error::ServerDeath,
            ..
        } => {
            quote! { ::core::result::Result<#ok, idol_runtime::ServerDeath> }
        }
    };

    let (encode, payload) = encode(iface, op, operation);
    let limits = operation.leases.iter().filter_map(|(name, lease)| {
        let max_len = lease.max_len?.get() as usize;
        Some(quote! {
            if #name.len() > #max_len {
                ::core::panic!();
            }
        })
    });
    let leases = operation.leases.iter().map(lease);
    let operations = operation_enum(iface);
    let reply_size = reply_size(operation);
    let send = quote! {
        let (__code, __length) = sys_send(
            __server,
            #operations::#op as u16,
            #payload,
            &mut __reply,
            &[#(#leases),*],
        );
    };
    let death = on_death(op, operation, counting);
    let refused = on_error(op, operation, counting);
    let finish = finish(iface, op, operation, counting);
    let exchange = quote! {
        let __server = self.current_id.get();
        #send
        if __code != 0 {
            if let ::core::option::Option::Some(generation) = userlib::extract_new_generation(__code) {
                self.current_id.set(userlib::TaskId::for_index_and_gen(__server.index(), generation));
                #death
            }
            #refused
        }
        #finish
    };
    let exchange = if operation.idempotent {
        quote! { loop { #exchange } }
    } else {
        exchange
    };
    quote! {
        #[doc = #doc]
        #[allow(
            clippy::collapsible_if,
            clippy::let_unit_value,
            clippy::too_many_arguments,
            clippy::unit_arg,
            clippy::unused_unit
        )]
        pub fn #op(&self #(, #args)* #(, #lease_args)*) -> #result {
            #encode
            #(#limits)*
            let mut __reply = [0_u8; #reply_size];
            #exchange
        }
    }
}

/// Statements that encode the arguments, and the expression for the bytes.
fn encode(iface: &Interface, op: &Ident, operation: &Operation) -> (TokenStream, TokenStream) {
    let args_struct = args_struct(iface, op);
    let names: Vec<_> = operation.args.keys().collect();
    match operation.encoding {
        Encoding::Zerocopy => {
            // A `bool` is sent as a `u8`, which the server decodes.
            let types = operation.args.values().map(|arg| match is_bool(&arg.ty) {
                true => arg.wire_type(),
                false => arg.ty.clone(),
            });
            let values = operation
                .args
                .iter()
                .map(|(name, arg)| match is_bool(&arg.ty) {
                    true => quote! { #name: u8::from(#name) },
                    false => quote! { #name },
                });
            let encode = quote! {
                #[allow(nonstandard_style)]
                #[derive(zerocopy::IntoBytes, zerocopy::Immutable)]
                #[repr(C, packed)]
                struct #args_struct {
                    #(#names: #types,)*
                }
                let __args = #args_struct { #(#values,)* };
            };
            (encode, quote! { zerocopy::IntoBytes::as_bytes(&__args) })
        }
        Encoding::Ssmarshal | Encoding::Hubpack => {
            let types = operation.args.values().map(|arg| &arg.ty);
            let size = operation.message_size();
            let serialize = match operation.encoding {
                Encoding::Hubpack => quote! { hubpack::serialize },
                _ => quote! { ssmarshal::serialize },
            };
            let encode = quote! {
                #[allow(nonstandard_style)]
                #[derive(serde::Serialize)]
                struct #args_struct {
                    #(#names: #types,)*
                }
                let mut __message = [0_u8; #size];
                let __length = userlib::UnwrapLite::unwrap_lite(
                    #serialize(&mut __message, &#args_struct { #(#names,)* }),
                );
                let __message = userlib::UnwrapLite::unwrap_lite(__message.get(..__length));
            };
            (encode, quote! { __message })
        }
    }
}

/// Expression for one entry of the lease table.
fn lease((name, lease): (&Ident, &Lease)) -> TokenStream {
    match (lease.read, lease.write) {
        (true, true) => {
            quote! { userlib::Lease::read_write(zerocopy::IntoBytes::as_mut_bytes(#name)) }
        }
        (false, true) => {
            quote! { userlib::Lease::write_only(zerocopy::IntoBytes::as_mut_bytes(#name)) }
        }
        (_, false) => quote! { userlib::Lease::read_only(zerocopy::IntoBytes::as_bytes(#name)) },
    }
}

/// Expression for the size of the reply buffer.
fn reply_size(operation: &Operation) -> TokenStream {
    let ok = operation.ok_size();
    match operation.reply.complex_error() {
        Some(error) => max_of(&ok, &max_hubpack_size(error)),
        None => ok,
    }
}

/// Statements for a server that was restarted during the call. The new id has been stored. An
/// operation that returns this as an error of its own type is handled by [`on_error`].
fn on_death(op: &Ident, operation: &Operation, counting: Option<&Counting>) -> TokenStream {
    let error = match &operation.reply {
        _ if operation.idempotent => return quote! { continue; },
        Reply::Simple(_)
        | Reply::Result {
            err: Error::CLike(_),
            ..
        } => return TokenStream::new(),
        Reply::Result {
            err: Error::ServerDeath,
            ..
        } => quote! { idol_runtime::ServerDeath },
        Reply::Result {
            err: Error::Complex(ty),
            ..
        } => {
            quote! { <#ty as ::core::convert::From<idol_runtime::ServerDeath>>::from(idol_runtime::ServerDeath) }
        }
    };
    failed(op, operation, counting, &error)
}

/// Statements for a response code that is not 0; none if the operation has no errors.
fn on_error(op: &Ident, operation: &Operation, counting: Option<&Counting>) -> TokenStream {
    let error = match &operation.reply {
        Reply::Simple(_)
        | Reply::Result {
            err: Error::ServerDeath,
            ..
        } => return TokenStream::new(),
        Reply::Result {
            err: Error::CLike(ty),
            ..
        } => {
            quote! { userlib::UnwrapLite::unwrap_lite(<#ty as ::core::convert::TryFrom<u32>>::try_from(__code)) }
        }
        Reply::Result {
            err: Error::Complex(ty),
            ..
        } => decode(Encoding::Hubpack, ty),
    };
    failed(op, operation, counting, &error)
}

/// Statements that return an error.
fn failed(
    op: &Ident,
    operation: &Operation,
    counting: Option<&Counting>,
    error: &TokenStream,
) -> TokenStream {
    let count = counting.map(|counting| counting.err(op, operation, &quote! { &error }));
    quote! {
        let error = #error;
        #count
        return ::core::result::Result::Err(error);
    }
}

/// Statements that decode a successful reply and return it.
fn finish(
    iface: &Interface,
    op: &Ident,
    operation: &Operation,
    counting: Option<&Counting>,
) -> TokenStream {
    let ok = ok_value(iface, op, operation);
    let count = counting.map(|counting| counting.ok(op, operation));
    let value = match &operation.reply {
        Reply::Simple(_) => quote! { value },
        Reply::Result { .. } => quote! { ::core::result::Result::Ok(value) },
    };
    let value = if operation.idempotent {
        quote! { return #value; }
    } else {
        value
    };
    quote! {
        let value = #ok;
        #count
        #value
    }
}

/// Expression that decodes a value from the reply buffer.
fn decode(encoding: Encoding, ty: &Type) -> TokenStream {
    let deserialize = match encoding {
        Encoding::Hubpack => quote! { hubpack::deserialize },
        _ => quote! { ssmarshal::deserialize },
    };
    quote! {
        userlib::UnwrapLite::unwrap_lite(
            #deserialize::<#ty>(userlib::UnwrapLite::unwrap_lite(__reply.get(..__length))),
        ).0
    }
}

/// Expression for the value of a successful reply.
fn ok_value(iface: &Interface, op: &Ident, operation: &Operation) -> TokenStream {
    let ok = operation.reply.ok();
    if operation.encoding != Encoding::Zerocopy {
        return decode(operation.encoding, &ok.ty);
    }
    let reply_struct = reply_struct(iface, op);
    let wire_type = ok.wire_type();
    let value = converted(ok, &quote! { reply.value });
    quote! {
        {
            #[allow(nonstandard_style)]
            #[derive(zerocopy::FromBytes)]
            #[repr(C, packed)]
            struct #reply_struct {
                value: #wire_type,
            }
            // The buffer has exactly this length.
            let reply: #reply_struct =
                userlib::UnwrapLite::unwrap_lite(zerocopy::FromBytes::read_from_bytes(__reply.as_slice()).ok());
            #value
        }
    }
}

/// Expression that converts the received value to that which the method returns.
fn converted(AttributedTy { ty, recv }: &AttributedTy, value: &TokenStream) -> TokenStream {
    match recv {
        RecvStrategy::FromBytes if is_bool(ty) => quote! { #value != 0 },
        RecvStrategy::FromBytes => value.clone(),
        RecvStrategy::FromPrimitive(primitive) => {
            let from = quote::format_ident!("from_{primitive}");
            quote! { userlib::UnwrapLite::unwrap_lite(<#ty as userlib::FromPrimitive>::#from(#value)) }
        }
        RecvStrategy::From(_, None) => quote! { ::core::convert::Into::into(#value) },
        RecvStrategy::From(_, Some(function)) => quote! { #function(#value) },
    }
}
