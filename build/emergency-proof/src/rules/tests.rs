//! Small programs, each of which keeps or breaks one rule.

use super::*;

const RULES: Rules<'_> = Rules {
    not_taken: &[("main", "normal")],
    normal: &["driver::normal::"],
    panics: &["core::panicking::"],
    system_calls: &[0, 9],
    polled_once: &["store::"],
    may_trap: &["_start"],
    stack: 100,
};

/// `_start` (1) calls `main` (2), which calls `normal` (3) and `emergency` (4).
fn program() -> Program {
    let function = |name: &str, frame, calls: &[u32]| Function {
        names: vec![name.into()],
        size: 10,
        frame,
        calls: calls.iter().map(|to| (*to, 1)).collect(),
        ..Function::default()
    };
    let mut program = Program::from([
        (1, function("_start", 0, &[2])),
        (2, function("main", 8, &[3, 4])),
        (3, function("normal", 500, &[9])),
        (4, function("emergency", 40, &[5, 6])),
        (5, function("driver::emergency::write", 20, &[7])),
        (6, function("stub", 4, &[])),
        (7, function("OUTLINED_FUNCTION_1", 0, &[])),
        (9, function("core::panicking::panic", 8, &[])),
    ]);
    change(&mut program, 6, |f| f.system_calls = [Some(0)].into());
    change(&mut program, 1, |f| f.traps = vec![0x10]);
    program
}

fn change(program: &mut Program, address: u32, change: impl FnOnce(&mut Function)) {
    change(program.get_mut(&address).expect("there is one"));
}

/// What is broken when `address` is changed.
fn broken(address: u32, what: impl FnOnce(&mut Function)) -> Vec<String> {
    let mut program = program();
    change(&mut program, address, what);
    check(&program, 1, &RULES).broken
}

fn one(broken: &[String], parts: &[&str]) {
    assert_eq!(broken.len(), 1, "{broken:?}");
    for part in parts {
        assert!(broken[0].contains(part), "{} in {}", part, broken[0]);
    }
}

/// REQ: M6 (in part: size and stack)
#[test]
fn a_clean_path_is_measured() {
    let findings = check(&program(), 1, &RULES);
    assert_eq!(findings.broken, [""; 0]);
    assert_eq!(findings.stack, 8 + 40 + 20);
    assert_eq!((findings.functions, findings.code), (6, 60));
    assert_eq!(findings.system_calls[&0], ["emergency".to_string()].into());
    assert_eq!(
        findings.deepest,
        [
            "main (8)",
            "emergency (40)",
            "driver::emergency::write (20)"
        ]
    );
}

#[test]
fn the_normal_path_is_not_called() {
    let broken = broken(7, |f| f.names = vec!["<driver::normal::X>::begin".into()]);
    one(
        &broken,
        &[
            "X::begin",
            "normal path",
            "_start > main > emergency > driver::emergency::write",
        ],
    );
}

#[test]
fn the_normal_path_is_not_a_type_parameter() {
    let name = "store::read::<driver::normal::Controller>";
    one(
        &broken(7, |f| f.names = vec![name.into()]),
        &["normal path"],
    );
}

#[test]
fn a_merged_function_may_have_a_name_of_the_normal_path() {
    let names = ["<driver::normal::X>::get", "<driver::emergency::X>::get"];
    let broken = broken(7, |f| f.names = names.map(String::from).into());
    assert_eq!(broken, [""; 0]);
}

#[test]
fn a_panic_is_found() {
    let line = "`OUTLINED_FUNCTION_1` can panic, by `core::panicking::panic`";
    one(&broken(7, |f| f.calls = [(9, 1)].into()), &[line]);
}

#[test]
fn an_async_function_may_panic_at_one_place_if_polled_after_completion() {
    let change = |name: &str, sites: usize, traps: usize| {
        broken(7, |f| {
            f.names = vec![name.into()];
            f.calls = [(9, sites)].into();
            f.traps = vec![0; traps];
        })
    };
    assert_eq!(change("store::read::{closure#0}", 1, 0), [""; 0]);
    assert_eq!(change("store::read::{closure#0}", 2, 0).len(), 1);
    assert_eq!(change("store::read::{closure#0}", 1, 1), [""; 0]);
    assert_eq!(change("store::read::{closure#0}", 1, 2).len(), 1);
    assert_eq!(change("store::read", 1, 0).len(), 1);
    assert_eq!(change("driver::read::{closure#0}", 1, 0).len(), 1);
}

#[test]
fn recursion_is_found() {
    one(
        &broken(7, |f| f.calls = [(5, 1)].into()),
        &["recursion", "driver::emergency::write"],
    );
    one(&broken(7, |f| f.calls = [(7, 1)].into()), &["recursion"]);
}

#[test]
fn only_allowed_system_calls_are_made() {
    one(
        &broken(6, |f| f.system_calls = [Some(7)].into()),
        &["stub", "system call 7"],
    );
    one(
        &broken(6, |f| f.system_calls = [Some(1)].into()),
        &["system call 1"],
    );
    one(
        &broken(6, |f| f.system_calls = [None].into()),
        &["not a constant"],
    );
}

#[test]
fn a_call_with_an_unknown_target_is_found() {
    one(
        &broken(5, |f| f.unknown = vec![0x8000]),
        &["driver::emergency::write", "0x8000"],
    );
}

#[test]
fn a_trap_is_found() {
    one(&broken(5, |f| f.traps = vec![0x8000]), &["0x8000", "traps"]);
}

#[test]
fn the_stack_is_bounded() {
    one(
        &broken(5, |f| f.frame = 60),
        &["108 bytes", "100 are its budget", "main (8)"],
    );
}

#[test]
fn normal_operation_is_entered_at_one_place() {
    one(
        &broken(2, |f| f.calls = [(4, 1)].into()),
        &["found 0 times", "inlined"],
    );
    let twice = broken(4, |f| {
        f.names = vec!["main".into()];
        f.calls.insert(3, 1);
    });
    one(&twice, &["found 2 times"]);
}
