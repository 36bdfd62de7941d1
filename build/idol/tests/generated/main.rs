//! The signatures of generated code
//!
//! Generated code is parsed and compared item by item, so that its formatting and the order of
//! items do not matter. The tasks of this tree show that it compiles.

mod client;
mod server;

use quote::ToTokens;
use syn::{
    Fields, ImplItem, Item, ItemEnum, ItemImpl, ItemStruct, ItemTrait, Signature, TraitItem,
};

/// One operation of each form.
const FORMS: &str = r#"
Interface(
    name: "Forms",
    ops: {
        "read": (
            args: { "offset": "u32", "fast": "bool", "kind": (type: "Kind", recv: FromPrimitive("u8")) },
            leases: { "out": (type: "[u8]", write: true, max_len: Some(64)) },
            reply: Result(ok: "u16", err: CLike("ReadError")),
        ),
        "level": (
            args: { "unit": (type: "Unit", recv: From("u16", None)) },
            reply: Simple("bool"),
            idempotent: true,
        ),
        "exchange": (
            leases: {
                "both": (type: "[Word]", read: true, write: true),
                "fixed": (type: "[u32; 4]", read: true),
            },
            reply: Result(ok: "()", err: ServerDeath),
        ),
        "status": (
            args: { "which": "Which" },
            reply: Result(ok: "Status", err: Complex("StatusError")),
            encoding: Hubpack,
        ),
        "reason": (reply: Simple("Reason"), encoding: Ssmarshal, idempotent: true),
    },
)
"#;

/// Generated code, as a list of items.
struct Code(Vec<Item>);

impl Code {
    #[track_caller]
    fn parse(text: &str) -> Self {
        Self(syn::parse_file(text).expect("generated code is Rust").items)
    }

    #[track_caller]
    fn find<'a, T>(&'a self, pick: impl Fn(&'a Item) -> Option<T>) -> T {
        self.0
            .iter()
            .find_map(pick)
            .expect("generated code has this item")
    }

    #[track_caller]
    fn enumeration(&self, name: &str) -> &ItemEnum {
        self.find(|item| match item {
            Item::Enum(item) if item.ident == name => Some(item),
            _ => None,
        })
    }

    #[track_caller]
    fn structure(&self, name: &str) -> &ItemStruct {
        self.find(|item| match item {
            Item::Struct(item) if item.ident == name => Some(item),
            _ => None,
        })
    }

    #[track_caller]
    fn definition_of_trait(&self, name: &str) -> &ItemTrait {
        self.find(|item| match item {
            Item::Trait(item) if item.ident == name => Some(item),
            _ => None,
        })
    }

    /// The implementation of `of` (or of no trait, if empty) for `ty`.
    #[track_caller]
    fn implementation(&self, of: &str, ty: &str) -> &ItemImpl {
        self.find(|item| match item {
            Item::Impl(item) => {
                let implemented = item
                    .trait_
                    .as_ref()
                    .map_or(String::new(), |(_, path, _)| text(path));
                (implemented == of && text(&item.self_ty) == ty).then_some(item)
            }
            _ => None,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|item| match item {
            Item::Struct(item) => item.ident == name,
            Item::Enum(item) => item.ident == name,
            Item::Static(item) => item.ident == name,
            _ => false,
        })
    }
}

/// Tokens without spaces, and without commas at the end of a list.
fn text(tokens: impl ToTokens) -> String {
    tokens
        .to_token_stream()
        .to_string()
        .replace(' ', "")
        .replace(",)", ")")
        .replace(",>", ">")
}

/// Signatures of the functions of an implementation.
fn signatures(item: &ItemImpl) -> Vec<String> {
    let function = |item: &ImplItem| match item {
        ImplItem::Fn(function) => Some(signature(&function.sig)),
        _ => None,
    };
    item.items.iter().filter_map(function).collect()
}

/// Signatures of the functions of a trait.
fn trait_signatures(item: &ItemTrait) -> Vec<String> {
    let function = |item: &TraitItem| match item {
        TraitItem::Fn(function) => Some(signature(&function.sig)),
        _ => None,
    };
    item.items.iter().filter_map(function).collect()
}

fn signature(signature: &Signature) -> String {
    text(signature)
        .replace("::core::result::", "")
        .replace("idol_runtime::", "")
}

/// Variants with their numbers.
fn variants(item: &ItemEnum) -> Vec<(String, Option<String>)> {
    let number = |variant: &syn::Variant| {
        variant
            .discriminant
            .as_ref()
            .map(|(_, number)| text(number))
    };
    item.variants
        .iter()
        .map(|variant| (variant.ident.to_string(), number(variant)))
        .collect()
}

/// Fields with their types.
fn fields(item: &ItemStruct) -> Vec<String> {
    match &item.fields {
        Fields::Named(fields) => fields
            .named
            .iter()
            .map(|field| format!("{}:{}", text(&field.ident), text(&field.ty)))
            .collect(),
        _ => panic!("{} has no named fields", item.ident),
    }
}

/// The interfaces of this tree.
fn interfaces() -> Vec<std::path::PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../idl");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "idol")
    });
    files.sort();
    assert!(files.len() >= 2);
    files
}
