//! What the server's side does with one message.

use super::message::{read_message, reply_size};
use crate::common::max_hubpack_size;
use crate::counting::Counting;
use crate::syntax::{Encoding, Error, Lease, Operation, RecvStrategy, Reply, is_unsized};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// Statements that handle one operation.
pub(super) fn handle(
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
