//! The server's side: a trait with a method for each operation, and its dispatch
//!
//! For each message the generated `handle` checks, in this order: that the client has room for the
//! reply and passes as many leases as the operation takes; that this task may call the operation;
//! that the arguments decode; that the leases have the attributes and sizes that they need. Then it
//! calls the method and sends the result. A failed check is an error of the client
//! (`idol_runtime::ClientError`), and the method is not called.

mod fail;
mod handle;
mod message;

use crate::common::{generate_op_enum_with_derives, op_doc, operation_enum};
use crate::counting::Counting;
use crate::error::{BoxedError, Problem};
use crate::generator::Generator;
use crate::syntax::{Error, Interface, Lease, Operation, Reply};
use fail::fail_server;
use handle::{handle, refused};
use message::{argument_type, definition, message, server_op, sizes};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use std::collections::BTreeMap;
use std::path::Path;
use syn::{Type, parse_quote};

/// How a server works through its messages.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum ServerStyle {
    /// One after the other. Each is answered before the next is received, or later by the server
    /// itself.
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

/// As [`build_server_support`], with operations that only some tasks may call; see
/// [`Generator::build_restricted_server_support`].
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

/// The tasks that may call an operation, for operations that not every task may call.
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
        // The error of an operation that is not repeated must have a value for the death of the
        // server.
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

            /// Called if that task has been restarted.
            fn closed_recv_fail(&mut self) {
                ::core::panic!()
            }

            #(#methods)*
        }
    }
}

/// The dispatch of messages to the trait.
fn server(
    iface: &Interface,
    allowed_callers: &AllowedCallers,
    counting: Option<&Counting>,
) -> TokenStream {
    let operations = operation_enum(iface);
    let trait_name = trait_name(iface);
    let refused = refused();
    let closed = iface
        .ops
        .keys()
        .filter(|op| {
            allowed_callers
                .get(&op.to_string())
                .is_some_and(Vec::is_empty)
        })
        .map(|op| argument_type(iface, op));
    let arms = iface.ops.iter().map(|(op, operation)| {
        let body = handle(
            &operations,
            op,
            operation,
            allowed_callers.get(&op.to_string()),
            counting,
        );
        quote! { #operations::#op => { #body } }
    });
    quote! {
        #(#closed)*

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
                #refused
                match op {
                    #(#arms)*
                }
            }
        }
    }
}
