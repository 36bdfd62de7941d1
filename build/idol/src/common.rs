//! What must be the same in client and server: numbers, names, sizes and layouts

use crate::syntax::{AttributedTy, Encoding, Interface, Operation, RecvStrategy};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};
use syn::{Path, Type, parse_quote};

/// The enum of an interface's operations.
pub fn generate_op_enum(iface: &Interface) -> TokenStream {
    generate_op_enum_with_derives(iface, &[])
}

/// As [`generate_op_enum`], with further derives.
pub(crate) fn generate_op_enum_with_derives(iface: &Interface, derives: &[Path]) -> TokenStream {
    let name = operation_enum(iface);
    let doc = format!(
        " The operations of `{}`, with their numbers in messages.",
        iface.name
    );
    let variants = iface
        .ops
        .iter()
        .zip(1_u16..)
        .map(|((op, operation), number)| {
            let doc = op_doc(op, operation);
            let number = Literal::u16_unsuffixed(number);
            quote! { #[doc = #doc] #op = #number }
        });
    quote! {
        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #[derive(Copy, Clone, Debug, Eq, PartialEq, userlib::FromPrimitive #(, #derives)*)]
        pub enum #name {
            #(#variants,)*
        }
    }
}

/// The documentation of generated items about an operation.
pub(crate) fn op_doc(op: &Ident, operation: &Operation) -> String {
    if operation.doc.is_empty() {
        format!(" Operation `{op}`.")
    } else {
        format!(" {}", operation.doc)
    }
}

/// Name of the enum of operations.
pub(crate) fn operation_enum(iface: &Interface) -> Ident {
    format_ident!("{}Operation", iface.name)
}

/// Name of the structure that holds an operation's arguments. Humility looks for it.
pub(crate) fn args_struct(iface: &Interface, op: &Ident) -> Ident {
    format_ident!("{}_{}_ARGS", iface.name, op)
}

/// Name of the structure that holds an operation's reply. Humility looks for it.
pub(crate) fn reply_struct(iface: &Interface, op: &Ident) -> Ident {
    format_ident!("{}_{}_REPLY", iface.name, op)
}

/// An identifier in capitals.
pub(crate) fn upper(ident: &Ident) -> String {
    ident.to_string().to_uppercase()
}

/// Whether this is the type `bool`.
pub(crate) fn is_bool(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.qself.is_none() && path.path.is_ident("bool"))
}

impl AttributedTy {
    /// The type whose bytes are sent, with encoding Zerocopy.
    pub(crate) fn wire_type(&self) -> Type {
        match &self.recv {
            RecvStrategy::FromBytes if is_bool(&self.ty) => parse_quote!(u8),
            RecvStrategy::FromBytes => self.ty.clone(),
            RecvStrategy::FromPrimitive(primitive) => parse_quote!(#primitive),
            RecvStrategy::From(ty, _) => ty.clone(),
        }
    }

    /// Whether the received value must be converted.
    pub(crate) fn is_converted(&self) -> bool {
        is_bool(&self.ty) || !matches!(self.recv, RecvStrategy::FromBytes)
    }

    /// Expression for the maximum length of an encoded value.
    pub(crate) fn max_size(&self, encoding: Encoding) -> TokenStream {
        match encoding {
            Encoding::Zerocopy => {
                let ty = self.wire_type();
                quote! { ::core::mem::size_of::<#ty>() }
            }
            Encoding::Ssmarshal => {
                let ty = &self.ty;
                quote! { ::core::mem::size_of::<#ty>() }
            }
            Encoding::Hubpack => max_hubpack_size(&self.ty),
        }
    }
}

/// Expression for the maximum length of a value in hubpack encoding.
pub(crate) fn max_hubpack_size(ty: &Type) -> TokenStream {
    quote! { <#ty as hubpack::SerializedSize>::MAX_SIZE }
}

impl Operation {
    /// Expression for the maximum length of the encoded arguments.
    ///
    /// For ssmarshal it is an estimate, because a type does not give its encoded length: the size
    /// of the arguments in memory, and one byte each for the tag of an enum that has none there
    /// (one of a single variant, or with a niche).
    pub(crate) fn message_size(&self) -> TokenStream {
        if self.encoding == Encoding::Ssmarshal && !self.args.is_empty() {
            let types = self.args.values().map(|arg| &arg.ty);
            let tags = Literal::usize_unsuffixed(self.args.len());
            return quote! { ::core::mem::size_of::<(#(#types,)*)>() + #tags };
        }
        let mut sizes = self.args.values().map(|arg| arg.max_size(self.encoding));
        match sizes.next() {
            Some(first) => quote! { #first #(+ #sizes)* },
            None => quote! { 0 },
        }
    }

    /// Expression for the maximum length of a successful reply.
    pub(crate) fn ok_size(&self) -> TokenStream {
        self.reply.ok().max_size(self.encoding)
    }
}

/// Expression for the greater of two constants.
pub(crate) fn max_of(a: &TokenStream, b: &TokenStream) -> TokenStream {
    quote! { if #a > #b { #a } else { #b } }
}
