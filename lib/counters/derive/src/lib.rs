//! `#[derive(Count)]` for enums.
//!
//! For `enum Event` it makes `struct EventCounts`, with one field for each variant and named as the
//! variant: an `AtomicU32`, or the counters of the payload that is marked `#[count(children)]`. A
//! variant marked `#[count(skip)]` has no field and is not counted.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Result, Type, Variant, parse_macro_input,
    parse_quote,
};

/// Derives `counters::Count`; see the crate's description.
#[proc_macro_derive(Count, attributes(count))]
pub fn derive_count(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

/// The way in which a variant is counted.
enum Counter<'a> {
    /// Not at all.
    Skip,
    /// By one counter.
    Single,
    /// By the counters of one of its fields: the field's name or index for the pattern, and its
    /// type.
    Children(TokenStream, &'a Type),
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.span(),
            "Count can be derived for enums only",
        ));
    };
    let name = &input.ident;
    let visibility = &input.vis;
    let counts = format_ident!("{name}Counts");

    let mut fields = Vec::new();
    let mut initial = Vec::new();
    let mut arms = Vec::new();
    let mut children = Vec::new();
    for variant in &data.variants {
        let ident = &variant.ident;
        match counter_of(variant)? {
            Counter::Skip => arms.push(quote! { Self::#ident { .. } => {} }),
            Counter::Single => {
                fields.push(quote! { pub #ident: ::counters::AtomicU32 });
                initial.push(quote! { #ident: ::counters::AtomicU32::new(0) });
                arms.push(
                    quote! { Self::#ident { .. } => ::counters::increment(&counters.#ident), },
                );
            }
            Counter::Children(pattern, ty) => {
                fields.push(quote! { pub #ident: <#ty as ::counters::Count>::Counters });
                initial.push(quote! { #ident: <#ty as ::counters::Count>::NEW_COUNTERS });
                arms.push(quote! {
                    Self::#ident { #pattern: child, .. } => ::counters::Count::count(child, &counters.#ident),
                });
                children.push(ty);
            }
        }
    }
    if fields.is_empty() {
        return Err(Error::new(
            input.span(),
            "Count: no variant of this enum is counted",
        ));
    }

    // Only the counters of a payload can depend on the enum's parameters.
    let mut bounded = input.generics.clone();
    let is_generic = !bounded.params.is_empty();
    if is_generic && !children.is_empty() {
        let predicates = &mut bounded.make_where_clause().predicates;
        predicates.extend(
            children
                .iter()
                .map(|ty| -> syn::WherePredicate { parse_quote!(#ty: ::counters::Count) }),
        );
    }
    let (parameters, arguments, bounds) = bounded.split_for_impl();
    let (counts_parameters, counts_arguments, counts_bounds) = if is_generic && children.is_empty()
    {
        (None, None, None)
    } else {
        (Some(&parameters), Some(&arguments), Some(&bounds))
    };
    let doc = format!("Counts of [`{name}`], by variant.");

    Ok(quote! {
        #[doc = #doc]
        #[allow(nonstandard_style, missing_docs)]
        #visibility struct #counts #counts_parameters #counts_bounds {
            #(#fields,)*
        }

        #[automatically_derived]
        impl #parameters ::counters::Count for #name #arguments #bounds {
            type Counters = #counts #counts_arguments;
            #[allow(clippy::declare_interior_mutable_const)]
            const NEW_COUNTERS: Self::Counters = #counts { #(#initial,)* };

            #[inline]
            fn count(&self, counters: &Self::Counters) {
                match self {
                    #(#arms)*
                }
            }
        }
    })
}

/// Reads the `#[count(...)]` attributes of a variant and its fields.
fn counter_of(variant: &Variant) -> Result<Counter<'_>> {
    let skip = has_option(&variant.attrs, "skip")?;
    let mut found = None;
    for (index, field) in variant.fields.iter().enumerate() {
        if !has_option(&field.attrs, "children")? {
            continue;
        }
        if skip || found.is_some() {
            return Err(Error::new(
                field.span(),
                "`#[count(children)]` goes on one field of a variant that is not skipped",
            ));
        }
        let pattern = match (&variant.fields, &field.ident) {
            (Fields::Named(_), Some(ident)) => quote! { #ident },
            _ => {
                let index = syn::Index::from(index);
                quote! { #index }
            }
        };
        found = Some(Counter::Children(pattern, &field.ty));
    }
    Ok(match found {
        Some(children) => children,
        None if skip => Counter::Skip,
        None => Counter::Single,
    })
}

/// Is `#[count(option)]` among the attributes? Any other `#[count(...)]` is an error.
fn has_option(attributes: &[Attribute], option: &str) -> Result<bool> {
    let mut found = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("count")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident(option) {
                found = true;
                Ok(())
            } else {
                Err(meta.error(format!("expected `#[count({option})]` here")))
            }
        })?;
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
            .expect_err("this cannot be counted")
            .to_string();
        assert!(
            message.contains(expected),
            "{message:?} does not say {expected:?}"
        );
    }

    #[test]
    fn only_enums_with_something_to_count() {
        refused(
            parse_quote!(
                struct S {
                    a: u8,
                }
            ),
            "enums only",
        );
        refused(
            parse_quote!(
                enum E {
                    #[count(skip)]
                    A,
                }
            ),
            "no variant of this enum is counted",
        );
    }

    #[test]
    fn misplaced_attributes_are_refused() {
        refused(
            parse_quote!(
                enum E {
                    #[count(children)]
                    A(u8),
                }
            ),
            "expected `#[count(skip)]` here",
        );
        refused(
            parse_quote!(
                enum E {
                    A(#[count(skip)] u8),
                }
            ),
            "expected `#[count(children)]` here",
        );
        refused(
            parse_quote!(
                enum E {
                    A(#[count(children)] bool, #[count(children)] bool),
                }
            ),
            "goes on one field",
        );
        refused(
            parse_quote!(
                enum E {
                    #[count(skip)]
                    A(#[count(children)] bool),
                }
            ),
            "goes on one field",
        );
    }
}
