//! `cargo test` of each crate that has tests for the host.
//!
//! Cargo is called once per crate, because a call for several crates unifies their features.

use super::{Cases, Session};
use crate::build::cargo;
use anyhow::{Context, Result, bail};
use libtest_mimic::Trial;
use serde_json::Value;
use std::sync::Arc;

/// One test per crate.
pub fn trials(session: &Arc<Session>) -> Result<Vec<Trial>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed no JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("`cargo metadata` has no packages")?;
    let mut trials = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let targets = targets(package);
        if targets.is_empty() {
            continue;
        }
        let session = session.clone();
        trials.push(Trial::test(format!("host::{name}"), move || {
            session.count(test(&name, &targets))
        }));
    }
    Ok(trials)
}

/// The arguments for cargo that select the targets with tests of a package.
fn targets(package: &Value) -> Vec<String> {
    let mut arguments = Vec::new();
    for target in package["targets"].as_array().into_iter().flatten() {
        if target["test"] != true {
            continue;
        }
        let name = target["name"].as_str().unwrap_or_default().to_owned();
        match target["kind"][0].as_str() {
            Some("lib" | "rlib" | "proc-macro") => arguments.push("--lib".to_owned()),
            Some("bin") => arguments.extend(["--bin".to_owned(), name]),
            Some("test") => arguments.extend(["--test".to_owned(), name]),
            _ => {}
        }
    }
    arguments
}

fn test(package: &str, targets: &[String]) -> Result<Cases> {
    let output = cargo()
        .args(["test", "--quiet", "--package", package])
        .args(targets)
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut cases = Cases::default();
    let mut failed = 0;
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        let number = |what: &str| -> usize {
            let before = line.split(what).next().unwrap_or_default();
            before
                .rsplit([' ', '.'])
                .find_map(|word| word.parse().ok())
                .unwrap_or(0)
        };
        cases.passed += number(" passed");
        failed += number(" failed");
    }
    if !output.status.success() {
        let said = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        cases.failed = vec![format!(
            "`cargo test --package {package}` failed:\n{}",
            said.trim()
        )];
        cases
            .failed
            .resize(failed.max(1), "another test of the same crate".to_owned());
    }
    Ok(cases)
}
