//! What is proved from the built image alone, without running it.

use super::{Bench, Cases};
use crate::build::{DEMO, cargo};
use anyhow::{Context, Result};
use libtest_mimic::Trial;
use std::sync::Arc;

/// One test per check.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    // REQ: M1, M5: nothing of the normal path, no panic, no recursion, no interrupt control, no receive, bounded stack.
    vec![trial(
        bench,
        "proof::emergency-path",
        "check-emergency",
        DEMO,
    )]
}

fn trial(bench: &Arc<Bench>, name: &str, verb: &'static str, app: &'static str) -> Trial {
    let bench = bench.clone();
    Trial::test(name, move || {
        let outcome = bench.with_image(app, |_| check(verb, app));
        bench.count(outcome)
    })
}

/// One case; what the check says if it fails.
fn check(verb: &str, app: &str) -> Result<Cases> {
    let output = cargo()
        .args(["xtask", verb, app])
        .output()
        .context("cannot run cargo")?;
    if output.status.success() {
        return Ok(Cases::one());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Cases {
        passed: 0,
        failed: vec![said.trim().to_owned()],
    })
}
