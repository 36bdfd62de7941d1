//! The product uses only what a stock Hubris tree has, under the same names

use crate::Finding;
use build_parts::{Member, Part};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// Crates that a stock Hubris tree has in itself.
const UPSTREAM: [&str; 13] = [
    "abi",
    "build-util",
    "counters",
    "derive-idol-err",
    "hubris-num-tasks",
    "idol",
    "idol-runtime",
    "ringbuf",
    "static-cell",
    "task-config",
    "task-jefe-api",
    "toml-task",
    "userlib",
];

/// Crates of the public registry that it uses, or that are used without `unsafe` and without `std`.
const REGISTRY: [&str; 13] = [
    "anyhow",
    "bitflags",
    "crc",
    "hubpack",
    "indexmap",
    "num-derive",
    "num-traits",
    "serde",
    "ssmarshal",
    "tock-registers",
    "toml",
    "zerocopy",
    "zerocopy-derive",
];

/// What a stock tree's workspace has for its members to inherit, of that: the rest is given with
/// its version.
const INHERITED: [&str; 12] = [
    "anyhow",
    "bitflags",
    "crc",
    "hubpack",
    "idol",
    "idol-runtime",
    "num-derive",
    "num-traits",
    "serde",
    "ssmarshal",
    "zerocopy",
    "zerocopy-derive",
];

/// Everything in a manifest that inherits from a workspace, by the last key before `workspace`.
fn inherited(manifest: &Table) -> BTreeSet<String> {
    manifest
        .iter()
        .filter_map(|(key, value)| Some((key, value.as_table()?)))
        .flat_map(|(key, table)| {
            if table.contains_key("workspace") {
                BTreeSet::from([key.clone()])
            } else {
                inherited(table)
            }
        })
        .collect()
}

/// Names of everything but dev-dependencies that a manifest asks for.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets
        .into_iter()
        .flat_map(|it| it.values())
        .filter_map(Value::as_table);
    tables
        .chain([manifest])
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)))
        .flatten()
        .filter_map(Value::as_table)
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// What the product's manifests ask of the tree that they are taken into, and a stock Hubris tree
/// does not have.
pub fn check(members: &[Member]) -> Vec<Finding> {
    let product: Vec<_> = members
        .iter()
        .filter(|it| it.part == Part::Product)
        .collect();
    let own = product.iter().map(|it| it.name.as_str()).collect();
    let findings = product.iter().flat_map(|member| {
        let path = format!("{}/Cargo.toml", member.folder);
        let broken = foreign(&own, &member.manifest);
        broken
            .into_iter()
            .map(move |what| Finding::new(&path, None, "portable", what))
    });
    findings.collect()
}

/// What a manifest has that a stock tree with the crates `own` does not provide.
fn foreign(own: &BTreeSet<&str>, manifest: &Table) -> Vec<String> {
    let known = |name: &str| UPSTREAM.contains(&name) || REGISTRY.contains(&name);
    let mut broken = Vec::new();
    for name in dependencies(manifest) {
        if !known(&name) && !own.contains(name.as_str()) {
            broken.push(format!(
                "depends on `{name}`, which a stock Hubris tree does not have; do without, or add it to the lists in \
                 build/tree-check/src/portable.rs if it does"
            ));
        }
    }
    for name in inherited(manifest) {
        if name != "lints" && !INHERITED.contains(&name.as_str()) {
            broken.push(format!(
                "inherits `{name}` from the workspace, and that of a stock Hubris tree does not have it; write it out"
            ));
        }
    }
    let package = manifest.get("package").and_then(Value::as_table);
    let metadata = package.and_then(|package| package.get("metadata")?.as_table());
    for key in metadata.into_iter().flat_map(Table::keys) {
        if key != "crashlog" {
            broken.push(format!(
                "has [package.metadata.{key}], which means something to a program that a stock Hubris tree may run; \
                 remove it"
            ));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// REQ: C5
    #[test]
    fn portable_crates_use_what_hubris_has() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let members = build_parts::read(&root).expect("the workspace");
        assert!(members.iter().any(|it| it.part == Part::Product));
        assert_eq!(check(&members), []);
    }

    #[test]
    fn what_is_inherited_is_found() {
        let text = "[package]\nname = \"x\"\nedition.workspace = true\n[dependencies]\nuserlib.workspace = true\n\
                    serde = { workspace = true, optional = true }\nabi = { path = \"../abi\" }\n[lints]\nworkspace = true";
        let found: Vec<_> = inherited(&text.parse().expect("TOML"))
            .into_iter()
            .collect();
        assert_eq!(found, ["edition", "lints", "serde", "userlib"]);
    }

    #[test]
    fn anything_else_is_found() {
        let text = "[package]\nedition.workspace = true\nmetadata.other.key = 1\nmetadata.crashlog.part = \"product\"\n\
                    [dependencies]\nuserlib = \"*\"\ndrv-sdhci = \"*\"\n[build-dependencies]\nsyn = \"2\"\n\
                    [target.'cfg(x)'.dependencies]\nkern = \"*\"\n[dev-dependencies]\nproptest = \"1\"";
        let manifest = text.parse().expect("TOML");
        let broken = foreign(&BTreeSet::from(["drv-sdhci"]), &manifest);
        let begin = [
            "depends on `kern`",
            "depends on `syn`",
            "inherits `edition`",
            "has [package.metadata.other]",
        ];
        assert_eq!(broken.len(), begin.len(), "{broken:?}");
        for (what, begin) in broken.iter().zip(begin) {
            assert!(what.starts_with(begin), "{what}");
        }
        assert_eq!(foreign(&BTreeSet::new(), &manifest).len(), 5);
    }

    #[test]
    fn only_the_product_is_looked_at() {
        let manifest: Table = "[dependencies]\nkern = \"*\"".parse().expect("TOML");
        let member = |part| Member {
            folder: "lib/one".into(),
            name: "one".into(),
            part,
            with: Vec::new(),
            manifest: manifest.clone(),
        };
        assert_eq!(check(&[member(Part::Rig)]), []);
        let findings = check(&[member(Part::Product)]);
        assert_eq!(findings.len(), 1);
        let line = findings[0].to_string();
        assert!(line.starts_with("lib/one/Cargo.toml: portable: depends on `kern`"));
    }
}
