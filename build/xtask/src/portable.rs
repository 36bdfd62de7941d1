//! The portable half of the tree uses only what a stock Hubris tree has, under the same names.

use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

/// Crates that go into a stock Hubris tree as they are; doc/porting.md lists them.
const PORTABLE: [&str; 11] = [
    "drv/mmc",
    "drv/sdhci",
    "drv/sdhci-sim",
    "lib/block-device",
    "lib/crashlog-format",
    "lib/crashlog-retained",
    "lib/crashlog-store",
    "lib/crashlog-supervisor",
    "task/crashlog",
    "task/crashlog-api",
    "task/crashlog-core",
];

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

/// What a stock tree's workspace has for its members to inherit, of that: the rest is given with its version.
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

/// What a manifest asks for that a stock tree with the portable crates does not have.
fn foreign(manifest: &Table) -> Vec<String> {
    let own = |name: &String| {
        PORTABLE.iter().any(|folder| {
            let last = folder.rsplit('/').next().unwrap_or_default();
            let parent = folder.split('/').next().unwrap_or_default();
            *name == last || *name == format!("{parent}-{last}")
        })
    };
    let known = |name: &String| {
        UPSTREAM.contains(&name.as_str()) || REGISTRY.contains(&name.as_str()) || own(name)
    };
    dependencies(manifest)
        .into_iter()
        .filter(|name| !known(name))
        .collect()
}

/// REQ: C5
#[test]
fn portable_crates_use_what_hubris_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for folder in PORTABLE {
        let text = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).expect(folder);
        let manifest: Table = text.parse().expect(folder);
        assert_eq!(foreign(&manifest), [""; 0], "{folder}");
        let strange: Vec<_> = inherited(&manifest)
            .into_iter()
            .filter(|name| name != "lints" && !INHERITED.contains(&name.as_str()))
            .collect();
        assert_eq!(strange, [""; 0], "{folder}: inherits from the workspace");
    }
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
    let text = "[dependencies]\nuserlib = \"*\"\ndrv-sdhci = \"*\"\n[build-dependencies]\nsyn = \"2\"\n\
                [target.'cfg(x)'.dependencies]\nkern = \"*\"\n[dev-dependencies]\nproptest = \"1\"";
    assert_eq!(foreign(&text.parse().expect("TOML")), ["kern", "syn"]);
}
