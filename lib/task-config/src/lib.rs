//! A task's configuration as a constant.
//!
//! ```ignore
//! task_config::task_config! {
//!     count: usize,
//!     leds: &'static [(u8, bool)],
//! }
//! ```
//!
//! declares `struct Config` with these fields and `const TASK_CONFIG: Config`, whose values are
//! those of the keys of the same names in `[tasks.<name>.config]` of `app.toml`. A key may be
//! spelled with dashes. Numbers and booleans are used as they are, lists become arrays, slices and
//! tuples, and a string is inserted as Rust code: `"Mode::Fast"` is a path, `"\"text\""` a string.
//!
//! A missing key is a compile-time error. Keys without a field are ignored, because they may be for
//! build scripts of the task.

#![forbid(unsafe_code)]

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, Result, Token, Type};
use toml::{Table, Value};

/// Environment variable in which xtask passes the table of the task that is being built.
const VARIABLE: &str = "HUBRIS_TASK_CONFIG";

/// Declares `struct Config` and `const TASK_CONFIG: Config`.
#[proc_macro]
pub fn task_config(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let fields = syn::parse_macro_input!(input as Fields);
    let tokens = from_environment(&fields).and_then(|config| match config {
        Some(config) => required(&fields, &config),
        None => Err(fields.error("the task has no `config` in app.toml")),
    });
    tokens.unwrap_or_else(Error::into_compile_error).into()
}

/// Declares `struct Config` and `const TASK_CONFIG: Option<Config>`, which is `None` where the task
/// has no `config`.
#[proc_macro]
pub fn optional_task_config(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let fields = syn::parse_macro_input!(input as Fields);
    let tokens = from_environment(&fields).and_then(|config| optional(&fields, config.as_ref()));
    tokens.unwrap_or_else(Error::into_compile_error).into()
}

/// `name: Type, …`, each with attributes, which for the most part are documentation.
struct Fields(Vec<Field>);

struct Field {
    attributes: Vec<Attribute>,
    name: Ident,
    ty: Type,
}

impl Parse for Fields {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let fields = Punctuated::<Field, Token![,]>::parse_terminated(input)?;
        Ok(Self(fields.into_iter().collect()))
    }
}

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        Ok(Self {
            attributes,
            name,
            ty: input.parse()?,
        })
    }
}

impl Fields {
    /// An error that points at the whole invocation.
    fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(proc_macro2::Span::call_site(), message)
    }
}

/// The `config` table of the task that is being built.
fn from_environment(fields: &Fields) -> Result<Option<Table>> {
    let Ok(text) = std::env::var(VARIABLE) else {
        return Err(fields.error(format!(
            "{VARIABLE} is not set: build this crate with `cargo xtask dist`"
        )));
    };
    let mut task: Table = text
        .parse()
        .map_err(|error| fields.error(format!("{VARIABLE}: {error}")))?;
    match task.remove("config") {
        None => Ok(None),
        Some(Value::Table(config)) => Ok(Some(config)),
        Some(other) => Err(fields.error(format!(
            "app.toml: config: is {}, must be a table",
            other.type_str()
        ))),
    }
}

/// The output of [`task_config`].
fn required(fields: &Fields, config: &Table) -> Result<TokenStream> {
    let declaration = declaration(fields);
    let value = value(fields, config)?;
    Ok(quote! {
        #declaration
        const TASK_CONFIG: Config = #value;
    })
}

/// The output of [`optional_task_config`].
fn optional(fields: &Fields, config: Option<&Table>) -> Result<TokenStream> {
    let declaration = declaration(fields);
    let value = match config {
        Some(config) => {
            let value = value(fields, config)?;
            quote! { Some(#value) }
        }
        None => quote! { None },
    };
    Ok(quote! {
        #declaration
        const TASK_CONFIG: Option<Config> = #value;
    })
}

/// The structure; and a use of the variable that the compiler sees, so that a change of it rebuilds
/// the task.
fn declaration(fields: &Fields) -> TokenStream {
    let fields = fields.0.iter().map(|field| {
        let Field {
            attributes,
            name,
            ty,
        } = field;
        quote! { #(#attributes)* #name: #ty }
    });
    quote! {
        #[doc = "The task's configuration, from `app.toml`."]
        #[allow(dead_code, missing_docs)]
        struct Config {
            #(#fields,)*
        }
        const _: Option<&str> = option_env!(#VARIABLE);
    }
}

/// `Config { … }`
fn value(fields: &Fields, config: &Table) -> Result<TokenStream> {
    let mut values = Vec::new();
    for Field { name, ty, .. } in &fields.0 {
        let key = name.to_string();
        let dashed = key.replace('_', "-");
        let Some(found) = config.get(&key).or_else(|| config.get(&dashed)) else {
            let message = format!("app.toml: config.{dashed}: missing");
            return Err(Error::new(name.span(), message));
        };
        let tokens = expression(ty, found).map_err(|rule| {
            Error::new(name.span(), format!("app.toml: config.{dashed}: {rule}"))
        })?;
        values.push(quote! { #name: #tokens });
    }
    Ok(quote! { Config { #(#values),* } })
}

/// A value of type `ty`; the error is the rule that `value` breaks.
fn expression(ty: &Type, value: &Value) -> std::result::Result<TokenStream, String> {
    match ty {
        Type::Reference(reference) if !matches!(value, Value::String(_)) => {
            let inner = expression(&reference.elem, value)?;
            Ok(quote! { &#inner })
        }
        Type::Group(group) => expression(&group.elem, value),
        Type::Paren(paren) => expression(&paren.elem, value),
        Type::Array(array) => list(value, &array.elem),
        Type::Slice(slice) => list(value, &slice.elem),
        Type::Tuple(tuple) => {
            let Value::Array(values) = value else {
                return Err(format!("is {}, must be a list", value.type_str()));
            };
            if values.len() != tuple.elems.len() {
                return Err(format!(
                    "has {} elements, must have {}",
                    values.len(),
                    tuple.elems.len()
                ));
            }
            let elements = tuple
                .elems
                .iter()
                .zip(values)
                .map(|(ty, value)| expression(ty, value));
            let elements = elements.collect::<std::result::Result<Vec<_>, _>>()?;
            Ok(quote! { (#(#elements,)*) })
        }
        _ => scalar(value),
    }
}

/// `[ … ]`
fn list(value: &Value, ty: &Type) -> std::result::Result<TokenStream, String> {
    let Value::Array(values) = value else {
        return scalar(value);
    };
    let elements = values.iter().map(|value| expression(ty, value));
    let elements = elements.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(quote! { [#(#elements),*] })
}

/// A number or boolean as it is, a string as the code that it holds.
fn scalar(value: &Value) -> std::result::Result<TokenStream, String> {
    let code = match value {
        Value::String(code) => code.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(value) => value.to_string(),
        other => {
            return Err(format!(
                "is {}, which has no form in Rust",
                other.type_str()
            ));
        }
    };
    code.parse()
        .map_err(|error| format!("`{code}` is not Rust code: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(fields: &str, config: &str) -> String {
        let fields: Fields = syn::parse_str(fields).expect("fields");
        let config: Table = config.parse().expect("TOML");
        match value(&fields, &config) {
            Ok(tokens) => tokens.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn values_take_the_form_of_their_type() {
        let cases = [
            (
                "count: usize",
                "count = 3\nother = 1",
                "Config { count : 3 }",
            ),
            ("max_age: u32", "max-age = 200", "Config { max_age : 200 }"),
            ("gain: f32", "gain = 2.0", "Config { gain : 2.0 }"),
            (
                "mode: Mode",
                "mode = 'Mode::Fast'",
                "Config { mode : Mode :: Fast }",
            ),
            (
                "name: &'static str",
                "name = '\"net\"'",
                "Config { name : \"net\" }",
            ),
            (
                "leds: &'static [(u8, bool)]",
                "leds = [[1, true], [2, false]]",
                "Config { leds : & [(1 , true ,) , (2 , false ,)] }",
            ),
            (
                "pair: [u8; 2]",
                "pair = [1, 2]",
                "Config { pair : [1 , 2] }",
            ),
        ];
        for (fields, config, expected) in cases {
            assert_eq!(tokens(fields, config), expected);
        }
    }

    #[test]
    fn fields_keep_their_documentation() {
        let fields: Fields =
            syn::parse_str("/// How fast.\nspeed: u32, #[allow(dead_code)] name: &'static str")
                .expect("fields");
        let declaration = declaration(&fields).to_string();
        for field in [
            "# [doc = \" How fast.\"] speed : u32 ,",
            "# [allow (dead_code)] name : & 'static str ,",
        ] {
            assert!(declaration.contains(field), "{declaration}");
        }
    }

    #[test]
    fn errors_name_the_key() {
        assert_eq!(
            tokens("max_age: u32", ""),
            "app.toml: config.max-age: missing"
        );
        assert_eq!(
            tokens("leds: (u8, u8)", "leds = [1]"),
            "app.toml: config.leds: has 1 elements, must have 2"
        );
        assert_eq!(
            tokens("when: u32", "when = 1979-05-27"),
            "app.toml: config.when: is datetime, which has no form in Rust"
        );
    }
}
