//! Handling of one message by the server

use super::message::{read_message, reply_size};
use crate::common::max_hubpack_size;
use crate::counting::Counting;
use crate::syntax::{Encoding, Error, Lease, Operation, RecvStrategy, Reply, is_unsized};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

/// Statements that handle one operation, of the enumeration `operations`.
pub(super) fn handle(
    operations: &Ident,
    op: &Ident,
    operation: &Operation,
    callers: Option<&Vec<usize>>,
    counting: Option<&Counting>,
) -> TokenStream {
    let check_size_and_leases = quote! {
        const OP: #operations = #operations::#op;
        if rm.response_capacity < idol_runtime::ServerOp::max_reply_size(OP) {
            return ::core::result::Result::Err(idol_runtime::RequestError::Fail(refused(userlib::ReplyFaultReason::ReplyBufferTooSmall)));
        }
        if rm.lease_count != idol_runtime::ServerOp::required_lease_count(OP) {
            return ::core::result::Result::Err(idol_runtime::RequestError::Fail(refused(userlib::ReplyFaultReason::BadLeases)));
        }
    };
    let check_caller = match callers.map(Vec::as_slice) {
        None => None,
        Some([]) => {
            return quote! {
                #check_size_and_leases
                // No task may call it.
                ::core::result::Result::Err(idol_runtime::ClientError::AccessViolation.fail())
            };
        }
        Some(callers) => {
            let callers = callers
                .iter()
                .map(|index| Literal::usize_unsuffixed(*index));
            Some(quote! {
                if !::core::matches!(rm.sender.index(), #(#callers)|*) {
                    return ::core::result::Result::Err(idol_runtime::RequestError::Fail(refused(userlib::ReplyFaultReason::AccessViolation)));
                }
            })
        }
    };
    let read = read_message(op);
    let args = operation.args.iter().map(|(name, arg)| match &arg.recv {
        _ if !arg.is_converted() => quote! { args.#name },
        RecvStrategy::FromPrimitive(_) => {
            or_refused(&quote! { args.#name() }, "BadMessageContents")
        }
        _ => quote! { args.#name() },
    });
    let leases = operation.leases.values().enumerate().map(take_lease);
    let reply = reply(op, operation, counting);
    let args_read = or_refused(&quote! { #read(incoming) }, "BadMessageContents");
    quote! {
        #check_size_and_leases
        #check_caller
        let args = #args_read;
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
    if !is_unsized(&lease.ty) {
        let constructor = format_ident!("{constructor}");
        return or_refused(
            &quote! { idol_runtime::Leased::#constructor(rm.sender, #index) },
            "BadLeases",
        );
    }
    let constructor = format_ident!("{constructor}_slice");
    let taken = match lease.max_len {
        None => quote! {
            idol_runtime::Leased::#constructor(rm.sender, #index, ::core::option::Option::None)
        },
        Some(max_len) => {
            let max_len = Literal::u32_unsuffixed(max_len.get());
            quote! {
                idol_runtime::Leased::#constructor(rm.sender, #index, ::core::num::NonZeroU32::new(#max_len))
                    .and_then(|lease| ::core::convert::TryFrom::try_from(lease).ok())
            }
        }
    };
    or_refused(&taken, "BadLeases")
}

/// Expression for the value of an `Option`. For `None`, the client is faulted with this fault.
fn or_refused(option: &TokenStream, fault: &str) -> TokenStream {
    let fault = format_ident!("{fault}");
    quote! {
        match #option {
            ::core::option::Option::Some(value) => value,
            ::core::option::Option::None => {
                return ::core::result::Result::Err(idol_runtime::RequestError::Fail(refused(
                    userlib::ReplyFaultReason::#fault,
                )));
            }
        }
    }
}

/// The function that makes a client error of a fault. It is a function of its own with a small
/// number as argument, which keeps the code of errors off the path of success.
pub(super) fn refused() -> TokenStream {
    quote! {
        #[cold]
        #[inline(never)]
        fn refused(reason: userlib::ReplyFaultReason) -> idol_runtime::ClientError {
            match reason {
                userlib::ReplyFaultReason::ReplyBufferTooSmall => {
                    idol_runtime::ClientError::ReplyBufferTooSmall
                }
                userlib::ReplyFaultReason::AccessViolation => idol_runtime::ClientError::AccessViolation,
                userlib::ReplyFaultReason::BadMessageContents => {
                    idol_runtime::ClientError::BadMessageContents
                }
                _ => idol_runtime::ClientError::BadLease,
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
