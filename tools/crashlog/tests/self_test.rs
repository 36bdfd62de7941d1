//! A self-test: it is shown as one, and never as a crash.

mod common;

use common::{Bench, Partition, STRAY_WRITE, fails, ok, shown};
use serde_json::Value;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(arguments)).expect("JSON")
}

/// REQ: P9
#[test]
fn it_is_listed_and_counted_apart() {
    let bench = Bench::new();
    let path = bench.formatted();
    let path_text = text(&path);
    let mut partition = Partition::open(&path);
    partition.self_test(1);
    let list = ok(["list", path_text]);
    assert!(
        list.contains("0 crashes") && list.contains("no crash records"),
        "{list}"
    );
    let line = list.lines().last().expect("a line");
    assert!(line.contains("1  self-test"), "{list}");
    let said = fails(1, ["show", path_text]);
    assert!(said.contains("has no crash record"), "{said}");

    partition.crash(1, STRAY_WRITE, "worker");
    partition.self_test(2);
    let value = json(&["list", "--json", path_text]);
    assert_eq!(value["crashes"].as_array().map(Vec::len), Some(1));
    assert_eq!(value["crashes"][0]["sequence"], 2);
    assert_eq!(
        (
            &value["self_test"]["sequence"],
            &value["self_test"]["reason"]
        ),
        (&3.into(), &"self-test".into())
    );
    assert_eq!(value["card"]["crashes"]["panic"], 1);

    // The newest crash is shown where no number is given.
    assert!(ok(["show", path_text]).contains("task worker"));
    let shown = ok(["show", path_text, "3"]);
    for words in [
        "Self-test 3 of the emergency path by task crashlog: nothing crashed",
        "not counted; 1 crash since the card was formatted",
        "Test pattern",
        "64 bytes, whole",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    for words in ["Registers", "restarts", "worker"] {
        assert!(!shown.contains(words), "{words}: {shown}");
    }
    assert_eq!(
        json(&["show", "--json", path_text, "3"])["reason"],
        "self-test"
    );

    let value = json(&["verify", "--json", path_text]);
    assert_eq!(
        (&value["sound"], &value["crashes"]),
        (&true.into(), &1.into())
    );
    assert_eq!(value["self_test"]["whole"], true);

    assert!(ok(["erase", path_text, "3"]).contains("crash record 3 is erased; 1 left"));
    assert_eq!(
        json(&["list", "--json", path_text])["self_test"],
        Value::Null
    );
}

/// Its slot is free: if a crash, or an interrupted write of one, has overwritten it, the card is
/// not damaged.
#[test]
fn it_may_be_overwritten() {
    let bench = Bench::new();
    let path = bench.formatted();
    let path_text = text(&path);
    let mut partition = Partition::open(&path);
    let block = partition.self_test(1);
    partition.damage(block + 1, 3);
    let said = ok(["verify", path_text]);
    assert!(said.contains("self-test 1 is not whole"), "{said}");
    assert!(said.contains("everything is sound"), "{said}");
    partition.damage(block, 100);
    let list = ok(["list", path_text]);
    assert!(
        list.contains("1  self-test: its slot was overwritten"),
        "{list}"
    );
    assert!(ok(["verify", path_text]).contains("everything is sound"));
    fails(1, ["show", path_text, "1"]);
}

/// If both ledgers are damaged it is found in its slot, and is no crash.
#[test]
fn it_is_found_without_ledgers_and_is_no_crash() {
    let bench = Bench::new();
    let path = bench.formatted();
    let path_text = text(&path);
    let mut partition = Partition::open(&path);
    partition.crash(1, STRAY_WRITE, "worker");
    partition.self_test(2);
    for generation in [0, 1] {
        partition.damage(partition.geometry.ledger(generation), 20);
    }
    let (code, list) = shown(["list", "--json", path_text]);
    assert_eq!(code, 1);
    let value: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(value["crashes"].as_array().map(Vec::len), Some(1));
    assert_eq!(value["self_test"]["sequence"], 2);
}
