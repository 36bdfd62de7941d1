//! A server that answers every request with one error

use super::{error_and_result, parameters, trait_name};
use crate::error::Problem;
use crate::generator::ErrorServer;
use crate::syntax::Interface;
use indexmap::IndexMap;
use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Type;

/// The server, if all operations have errors of one type.
pub(super) fn fail_server(
    iface: &Interface,
    wanted: ErrorServer,
) -> Result<Option<TokenStream>, Problem> {
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
