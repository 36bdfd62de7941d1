//! `#[derive(IdolError)]`: an enum as the error of an Idol interface.
//!
//! Such an error travels as the response code, a number from 1 to 0xFFFF. For an enum `E` of unit
//! variants the derive makes `From<E> for u16`, `From<E> for u32` for the server's side, and
//! `TryFrom<u32>` for the client's side, which goes through `Self::from_u32`: the enum must also
//! derive `userlib::FromPrimitive`, and the trait of that name must be in scope.
//!
//! One variant may be marked `#[idol(server_death)]`. Then any code by which the kernel says that
//! the server was restarted (0xFFFF_FF00 and above) becomes that variant, and `E` may be used with
//! operations that are not idempotent: it implements
//! `idol_runtime::IHaveConsideredServerDeathWithThisErrorType`.
//!
//! Names are those of Hubris' crate of this name.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{
    Data, DataEnum, DeriveInput, Error, Expr, ExprLit, Fields, Ident, Lit, Result,
    parse_macro_input,
};

/// Derives the conversions of an Idol error; see the crate's description.
#[proc_macro_derive(IdolError, attributes(idol))]
pub fn derive_idol_error(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.span(),
            "IdolError can be derived for enums only",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new(
            input.generics.span(),
            "an Idol error has no generic parameters",
        ));
    }
    check_variants(data)?;

    // `check_variants` sees only literals; the compiler checks discriminants that are expressions.
    let variants = data.variants.iter().map(|variant| &variant.ident);
    let in_range = quote! {
        #(
            const _: () = ::core::assert!(
                #name::#variants as i64 >= 1 && #name::#variants as i64 <= 0xffff,
                "the number of an Idol error is from 1 to 0xffff",
            );
        )*
    };
    let server_death = server_death_variant(data)?;
    let from_dead_code = server_death.map(|variant| {
        quote! {
            if code >= 0xffff_ff00 {
                return ::core::result::Result::Ok(Self::#variant);
            }
        }
    });
    let considered = server_death.map(|_| {
        quote! {
            #[automatically_derived]
            impl ::idol_runtime::IHaveConsideredServerDeathWithThisErrorType for #name {}
        }
    });

    Ok(quote! {
        #in_range
        #considered

        #[automatically_derived]
        impl ::core::convert::From<#name> for u16 {
            #[inline(always)]
            fn from(error: #name) -> Self {
                error as Self
            }
        }

        #[automatically_derived]
        impl ::core::convert::From<#name> for u32 {
            #[inline(always)]
            fn from(error: #name) -> Self {
                error as Self
            }
        }

        #[automatically_derived]
        impl ::core::convert::TryFrom<u32> for #name {
            type Error = ();

            fn try_from(code: u32) -> ::core::result::Result<Self, ()> {
                #from_dead_code
                Self::from_u32(code).ok_or(())
            }
        }
    })
}

/// Refuses payloads, and literal numbers that are out of range. (The compiler refuses a number that
/// is given twice.)
fn check_variants(data: &DataEnum) -> Result<()> {
    let mut next = Some(0);
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "a variant of an Idol error carries no data",
            ));
        }
        let number = match &variant.discriminant {
            None => next,
            Some((
                _,
                Expr::Lit(ExprLit {
                    lit: Lit::Int(literal),
                    ..
                }),
            )) => Some(literal.base10_parse::<u64>()?),
            Some(_) => None,
        };
        match number {
            Some(0) => {
                let message = "0 means success; give this variant a number from 1 to 0xffff";
                return Err(Error::new(variant.span(), message));
            }
            Some(number) if number > 0xffff => {
                let message = "the number of an Idol error is 16 bits wide: at most 0xffff";
                return Err(Error::new(variant.span(), message));
            }
            _ => {}
        }
        next = number.map(|number| number + 1);
    }
    Ok(())
}

/// The variant marked `#[idol(server_death)]`.
fn server_death_variant(data: &DataEnum) -> Result<Option<&Ident>> {
    let mut found = None;
    for variant in &data.variants {
        for attribute in variant.attrs.iter().filter(|a| a.path().is_ident("idol")) {
            attribute.parse_nested_meta(|meta| {
                if !meta.path.is_ident("server_death") {
                    return Err(meta.error("expected `#[idol(server_death)]`"));
                }
                if found.replace(&variant.ident).is_some() {
                    return Err(meta.error("only one variant can stand for the server's death"));
                }
                Ok(())
            })?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::expand;
    use syn::parse_quote;

    #[track_caller]
    fn refused(input: syn::DeriveInput, expected: &str) {
        let message = expand(&input)
            .expect_err("this is no Idol error")
            .to_string();
        assert!(
            message.contains(expected),
            "{message:?} does not say {expected:?}"
        );
    }

    #[test]
    fn numbers_are_16_bits_and_not_zero() {
        refused(
            parse_quote!(
                enum E {
                    A,
                }
            ),
            "0 means success",
        );
        refused(
            parse_quote!(
                enum E {
                    A = 1,
                    B = 0,
                }
            ),
            "0 means success",
        );
        refused(
            parse_quote!(
                enum E {
                    A = 0x1_0000,
                }
            ),
            "at most 0xffff",
        );
        refused(
            parse_quote!(
                enum E {
                    A = 0xffff,
                    B,
                }
            ),
            "at most 0xffff",
        );
        assert!(
            expand(&parse_quote!(
                enum E {
                    A = 1,
                    B = 0xffff,
                }
            ))
            .is_ok()
        );
    }

    #[test]
    fn only_plain_enums() {
        refused(
            parse_quote!(
                struct S;
            ),
            "enums only",
        );
        refused(
            parse_quote!(
                enum E {
                    A(u8) = 1,
                }
            ),
            "carries no data",
        );
        refused(
            parse_quote!(
                enum E<T> {
                    A = 1,
                }
            ),
            "no generic parameters",
        );
    }

    #[test]
    fn one_variant_is_the_servers_death() {
        refused(
            parse_quote!(
                enum E {
                    #[idol(server_death)]
                    A = 1,
                    #[idol(server_death)]
                    B,
                }
            ),
            "only one variant",
        );
        refused(
            parse_quote!(
                enum E {
                    #[idol(server_birth)]
                    A = 1,
                }
            ),
            "expected `#[idol(server_death)]`",
        );
    }
}
