//! The names of types and modules in the product

use crate::{Finding, SourceTree};
use anyhow::{Context, Result};
use build_parts::{Member, Part};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, File, Item, Visibility};

/// Names that stand for another type in each crate, each with the reason.
const SHARED: [(&str, &str); 2] = [
    (
        "Error",
        "each crate has its own, used with the crate's name before it",
    ),
    (
        "Trace",
        "Humility shows each task's ring buffer by this name",
    ),
];

/// Module names that were in use for the halves `normal` and `emergency`.
const OLD_HALVES: [&str; 3] = ["background", "interrupt", "polled"];

/// A source file of the product.
pub struct Source {
    /// Relative to the top of the tree.
    path: String,
    text: String,
    file: File,
}

impl Source {
    fn parse(path: &str, text: String) -> Result<Self> {
        let file = syn::parse_file(&text).with_context(|| format!("{path}: cannot be parsed"))?;
        Ok(Self {
            path: path.to_owned(),
            text,
            file,
        })
    }

    /// The line where `words` stand one after the other.
    fn line_of(&self, words: [&str; 2]) -> Option<usize> {
        let stands = |line: &str| {
            let all: Vec<_> = line
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .collect();
            all.windows(2).any(|pair| pair == words)
        };
        let mut lines = (1..).zip(self.text.lines());
        lines.find_map(|(number, line)| stands(line).then_some(number))
    }

    /// The paths below which the module `name` of this file is, without `.rs`.
    fn module(&self, name: &str) -> String {
        let own = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let folder = match own.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => own,
        };
        format!("{folder}/{name}")
    }
}

/// The sources of the product, without those of its tests.
pub fn product(tree: &SourceTree, members: &[Member]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for member in members.iter().filter(|it| it.part == Part::Product) {
        let folder = format!("{}/src/", member.folder);
        for path in tree.with_ending(".rs").filter(|it| it.starts_with(&folder)) {
            sources.push(Source::parse(path, tree.read(path)?)?);
        }
    }
    Ok(without_tests(sources))
}

/// Leaves out the files of modules that exist in a test alone.
fn without_tests(mut sources: Vec<Source>) -> Vec<Source> {
    let mut tests = Vec::new();
    for source in &sources {
        for item in &source.file.items {
            if let Item::Mod(module) = item
                && is_test(&module.attrs)
            {
                tests.push(source.module(&module.ident.to_string()));
            }
        }
    }
    sources.retain(|source| {
        !tests.iter().any(|test| {
            let rest = source.path.strip_prefix(test);
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    });
    sources
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// Types that share their name with another, and modules that have an old name.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut types = BTreeMap::new();
    let mut findings = Vec::new();
    for source in sources {
        let mut found = Names::default();
        found.collect(&source.file.items);
        for (name, kind) in found.types {
            let place = (source.path.as_str(), source.line_of([kind, &name]));
            types.entry(name).or_insert_with(Vec::new).push(place);
        }
        for name in found
            .modules
            .iter()
            .filter(|it| OLD_HALVES.contains(&it.as_str()))
        {
            findings.push(Finding::new(
                &source.path,
                source.line_of(["mod", name]),
                "module-name",
                format!(
                    "the halves of a layer are called `normal` and `emergency`; rename the module `{name}` to the one \
                     that it is"
                ),
            ));
        }
    }
    for (name, mut places) in types {
        // What has variants by `cfg` stands more than once in one file.
        places.dedup_by_key(|place| place.0);
        let [first, others @ ..] = &places[..] else {
            continue;
        };
        if others.is_empty() || SHARED.iter().any(|(shared, _)| *shared == name) {
            continue;
        }
        let others: Vec<_> = others.iter().map(|place| shown(*place)).collect();
        findings.push(Finding::new(
            first.0,
            first.1,
            "type-name",
            format!(
                "`{name}` is a public type in {}, too; give each a name of its own",
                others.join(", ")
            ),
        ));
    }
    findings
}

fn shown((path, line): (&str, Option<usize>)) -> String {
    line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"))
}

/// What one file declares, outside its tests.
#[derive(Default)]
struct Names {
    /// Public types, each with the keyword that declares it.
    types: BTreeSet<(String, &'static str)>,
    modules: BTreeSet<String>,
}

impl Names {
    fn collect(&mut self, items: &[Item]) {
        for item in items {
            let (attributes, visibility, name, kind) = match item {
                Item::Struct(it) => (&it.attrs, &it.vis, &it.ident, "struct"),
                Item::Enum(it) => (&it.attrs, &it.vis, &it.ident, "enum"),
                Item::Union(it) => (&it.attrs, &it.vis, &it.ident, "union"),
                Item::Trait(it) => (&it.attrs, &it.vis, &it.ident, "trait"),
                Item::Type(it) => (&it.attrs, &it.vis, &it.ident, "type"),
                Item::Mod(it) => {
                    if !is_test(&it.attrs) {
                        self.modules.insert(it.ident.to_string());
                        self.collect(it.content.as_ref().map_or(&[], |(_, items)| items));
                    }
                    continue;
                }
                Item::Macro(it) => {
                    if !is_test(&it.attrs) {
                        self.declared_by_macro(it.mac.tokens.clone());
                    }
                    continue;
                }
                _ => continue,
            };
            if matches!(visibility, Visibility::Public(_)) && !is_test(attributes) {
                self.types.insert((name.to_string(), kind));
            }
        }
    }

    /// Types that are written as such in the argument of a macro, as `bitflags!` has them:
    /// `pub struct Name`.
    fn declared_by_macro(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for three in tokens.windows(3) {
            let [
                TokenTree::Ident(public),
                TokenTree::Ident(kind),
                TokenTree::Ident(name),
            ] = three
            else {
                continue;
            };
            let kinds = ["struct", "enum", "union", "trait", "type"];
            if *public == "pub"
                && let Some(kind) = kinds.into_iter().find(|it| kind == it)
            {
                self.types.insert((name.to_string(), kind));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let sources = files
            .iter()
            .map(|(path, text)| Source::parse(path, (*text).into()).expect("Rust"))
            .collect();
        let findings = check(&without_tests(sources));
        findings.iter().map(Finding::to_string).collect()
    }

    fn one(files: &[(&str, &str)], begin: &str) {
        let found = findings(files);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(begin), "{}", found[0]);
    }

    #[test]
    fn a_type_name_that_stands_for_two_is_found() {
        one(
            &[
                ("a/src/lib.rs", "//! A\n\npub struct Card;"),
                ("b/src/x.rs", "pub mod y {\n    pub enum Card { A }\n}"),
            ],
            "a/src/lib.rs:3: type-name: `Card` is a public type in b/src/x.rs:2, too",
        );
        let declared = [
            "pub trait Step {}",
            "pub type Step = u8;",
            "pub union Step { a: u8 }",
        ];
        for other in declared {
            one(
                &[("a/src/x.rs", "pub struct Step {}"), ("a/src/y.rs", other)],
                "a/src/x.rs:1: type-name: `Step`",
            );
        }
        let flags = "bitflags! {\n    /// Flags.\n    pub struct Step: u8 {}\n}";
        one(
            &[("a/src/x.rs", "pub struct Step {}"), ("a/src/y.rs", flags)],
            "a/src/x.rs:1: type-name: `Step` is a public type in a/src/y.rs:3, too",
        );
    }

    #[test]
    fn what_is_no_public_type_is_not_counted() {
        let public = ("a/src/x.rs", "pub struct Card;");
        for other in [
            "struct Card;",
            "pub(crate) struct Card;",
            "#[cfg(test)]\nmod tests {\n    pub struct Card;\n}",
            "pub fn card() {}\nfn f() { struct Card; }",
            "pub use a::Card;",
        ] {
            assert_eq!(
                findings(&[public, ("b/src/x.rs", other)]),
                [""; 0],
                "{other}"
            );
        }
        let by_feature = "#[cfg(feature = \"a\")]\npub struct Key;\n#[cfg(not(feature = \"a\"))]\npub struct Key;";
        assert_eq!(findings(&[public, ("b/src/x.rs", by_feature)]), [""; 0]);
        let test = "#[cfg(test)]\nmod simulated;";
        for (declares, path) in [
            ("b/src/lib.rs", "b/src/simulated.rs"),
            ("b/src/x.rs", "b/src/x/simulated/mod.rs"),
            ("b/src/x/mod.rs", "b/src/x/simulated/part.rs"),
        ] {
            let files = [public, (declares, test), (path, "pub struct Card;")];
            assert_eq!(findings(&files), [""; 0], "{path}");
        }
        let declared = [public, ("b/src/lib.rs", "mod simulated;")];
        let other = ("b/src/simulated.rs", "pub struct Card;");
        assert_eq!(findings(&[declared[0], declared[1], other]).len(), 1);
    }

    #[test]
    fn names_that_each_crate_has_may_be_shared() {
        for (name, _) in SHARED {
            let text = format!("pub enum {name} {{ A }}");
            assert_eq!(
                findings(&[("a/src/x.rs", &text), ("b/src/x.rs", &text)]),
                [""; 0]
            );
        }
    }

    #[test]
    fn an_old_name_of_a_half_is_found() {
        for name in OLD_HALVES {
            one(
                &[("a/src/lib.rs", &format!("//! A\npub mod {name};"))],
                "a/src/lib.rs:2: module-name: ",
            );
            one(
                &[("a/src/lib.rs", &format!("mod x {{ mod {name} {{}} }}"))],
                "a/src/lib.rs:1: module-name: ",
            );
        }
        let right = "mod normal;\nmod emergency;\nfn polled() {}";
        assert_eq!(findings(&[("a/src/lib.rs", right)]), [""; 0]);
    }
}
