//! Counters of operations and their results
//!
//! Each side has one static, whose type Humility shows as a table of operations
//! (`humility counters ipc`). Generated code increments the counter of a result directly, so that
//! no result is copied to be counted.

use crate::syntax::{Error, Interface, Operation, Reply};
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Type, parse_quote};

/// What generated code counts.
#[derive(Copy, Clone, Debug)]
pub struct CounterSettings {
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) combine_client_errors: bool,
}

impl Default for CounterSettings {
    /// Both sides count, unless this crate is built with feature `no-counters`.
    fn default() -> Self {
        let enabled = !cfg!(feature = "no-counters");
        Self {
            client: enabled,
            server: enabled,
            combine_client_errors: false,
        }
    }
}

impl CounterSettings {
    /// Nothing is counted.
    pub(crate) const OFF: Self = Self {
        client: false,
        server: false,
        combine_client_errors: false,
    };

    /// Whether the client counts the operations that it calls.
    #[must_use]
    pub fn with_client_counters(self, client: bool) -> Self {
        Self { client, ..self }
    }

    /// Whether the server counts the operations that are called.
    #[must_use]
    pub fn with_server_counters(self, server: bool) -> Self {
        Self { server, ..self }
    }

    /// Whether the client has one counter for all errors of an operation, instead of one for each.
    #[must_use]
    pub fn combine_client_errors(self, combine_client_errors: bool) -> Self {
        Self {
            combine_client_errors,
            ..self
        }
    }
}

/// The counters of one side of one interface.
pub(crate) struct Counting {
    event: Ident,
    counters: Ident,
    side: Side,
}

#[derive(Copy, Clone)]
enum Side {
    Client { combine_errors: bool },
    Server,
}

impl Counting {
    /// What a client counts, if anything.
    pub(crate) fn of_client(iface: &Interface, settings: CounterSettings) -> Option<Self> {
        let side = Side::Client {
            combine_errors: settings.combine_client_errors,
        };
        settings.client.then(|| Self::new(iface, "CLIENT", side))
    }

    /// What a server counts, if anything.
    pub(crate) fn of_server(iface: &Interface, settings: CounterSettings) -> Option<Self> {
        settings
            .server
            .then(|| Self::new(iface, "SERVER", Side::Server))
    }

    fn new(iface: &Interface, side_name: &str, side: Side) -> Self {
        let name = crate::common::upper(&iface.name);
        Self {
            event: format_ident!("{}Event", iface.name),
            counters: format_ident!("__{name}_{side_name}_COUNTERS"),
            side,
        }
    }

    /// The type of an operation's errors that are counted one by one; `None` if only calls are
    /// counted.
    fn error(&self, operation: &Operation) -> Option<Type> {
        let error: Type = match (&operation.reply, self.side) {
            (Reply::Simple(_), _) => return None,
            (
                Reply::Result { .. },
                Side::Client {
                    combine_errors: true,
                },
            ) => parse_quote!(()),
            (
                Reply::Result {
                    err: Error::CLike(ty) | Error::Complex(ty),
                    ..
                },
                _,
            ) => ty.clone(),
            (
                Reply::Result {
                    err: Error::ServerDeath,
                    ..
                },
                Side::Client { .. },
            ) => {
                parse_quote!(idol_runtime::ServerDeath)
            }
            (_, Side::Server) => parse_quote!(::core::convert::Infallible),
        };
        Some(match self.side {
            Side::Client { .. } => error,
            Side::Server => parse_quote!(idol_runtime::RequestError<#error>),
        })
    }

    /// The event type and the static.
    pub(crate) fn definitions(&self, iface: &Interface) -> TokenStream {
        let Self {
            event, counters, ..
        } = self;
        let variants = iface
            .ops
            .iter()
            .map(|(op, operation)| match self.error(operation) {
                None => quote! { #op },
                Some(error) => {
                    quote! { #op(#[count(children)] ::core::result::Result<(), #error>) }
                }
            });
        let doc = format!(
            " An operation of `{}` and its outcome, as they are counted.",
            iface.name
        );
        quote! {
            #[doc = #doc]
            #[allow(dead_code, missing_docs, nonstandard_style)]
            #[derive(counters::Count)]
            pub enum #event {
                #(#variants,)*
            }

            counters::counters!(#counters, #event);
        }
    }

    /// Statement that counts a success.
    pub(crate) fn ok(&self, op: &Ident, operation: &Operation) -> TokenStream {
        let counters = &self.counters;
        let field = self.error(operation).map(|_| quote! { .Ok });
        quote! { counters::Count::count(&(), &#counters.#op #field); }
    }

    /// Statement that counts an error, given an expression for a reference to it. Nothing if errors
    /// are not counted.
    pub(crate) fn err(
        &self,
        op: &Ident,
        operation: &Operation,
        error: &TokenStream,
    ) -> TokenStream {
        let counters = &self.counters;
        let error = match (self.error(operation), self.side) {
            (None, _) => return TokenStream::new(),
            (
                Some(_),
                Side::Client {
                    combine_errors: true,
                },
            ) => quote! { &() },
            (Some(_), _) => error.clone(),
        };
        quote! { counters::Count::count(#error, &#counters.#op.Err); }
    }
}
