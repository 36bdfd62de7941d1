//! A crash whose sums match and whose content lies, or that is damaged in part: what there is, is
//! shown, what is not known is named, and nothing reaches the terminal that it acts on.

mod common;

use common::golden::Scene;
use common::{Bench, Partition, crashlog, golden, ok};
use serde_json::Value;
use std::path::Path;

fn text(path: &Path) -> &str {
    path.to_str().expect("path")
}

/// The golden card of a stack overflow.
fn overflow() -> Scene {
    let bench = Bench::new();
    let card = golden::card(&bench, "stack-overflow");
    let partition = Partition::open(&card);
    let crash = golden::crash(&partition);
    Scene {
        archive: golden::archive(&bench, "saboteur.zip"),
        snapshot: golden::snapshot(&partition, crash),
        bench,
        card,
        partition,
        crash,
    }
}

impl Scene {
    fn words<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let files = ["--archive", text(&self.archive), text(&self.card)];
        [words, &files].concat()
    }
}

#[test]
fn the_backtrace_of_a_recursion_leads_to_its_first_call() {
    let scene = overflow();
    let value = ok(scene.words(&["show", "--json"]));
    let value: Value = serde_json::from_str(&value).expect("JSON");
    let chain = value["chain"].as_array().expect("a backtrace");
    let places = |call: &Value| call["places"].to_string();
    let calls = chain.iter().filter(|call| places(call).contains("recurse"));
    assert_eq!((calls.count(), chain.len()), (32, 33));
    let last = places(chain.last().expect("a call"));
    assert!(
        last.contains("serve (") && last.contains("in main ("),
        "{last}"
    );
    // Once where the program counter is, once where it calls itself.
    let shown = ok(scene.words(&["show"]));
    assert_eq!(shown.matches("test_assist::recurse").count(), 2, "{shown}");
    let more = "          and 30 more times from the same place\n";
    assert!(shown.contains(more), "{shown}");
}

/// Without the memory of the task there is an excerpt of its stack.
#[test]
fn a_backtrace_names_the_stack_that_is_missing() {
    let scene = overflow();
    let less = golden::without(&scene.snapshot, |extent| extent.owner() == 4);
    less.write_without_ledger(&scene.partition, scene.crash, |_| ());
    let output = crashlog(scene.words(&["show"]));
    let shown = String::from_utf8(output.stdout).expect("text");
    let line = "          further callers are not known: the stack at 808490d";
    assert!(shown.contains(line), "{shown}");
    assert!(
        !shown.contains("in main (/crashlog/test/tasks/assist"),
        "{shown}"
    );
}
