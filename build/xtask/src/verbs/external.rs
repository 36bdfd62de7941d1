//! Verbs that are other programs of this tree, or of elsewhere, called with the right arguments.

use crate::dist::Product;
use crate::process::{find_in_path, run};
use crate::tree::Tree;
use anyhow::{Result, bail};
use std::env;
use std::ffi::OsString;
use std::process::Command;

/// Runs `humility` on the archive.
pub fn humility(product: &Product, arguments: &[OsString]) -> Result<()> {
    let Some(humility) = find_in_path("humility") else {
        bail!(
            "humility is not on PATH; install it with `cargo install --git https://github.com/oxidecomputer/humility \
             humility-bin --locked`"
        );
    };
    let mut command = Command::new(humility);
    // A dump has its archive in it, and Humility refuses both together.
    if !names_source(arguments) {
        command.arg("-a").arg(&product.archive);
    }
    run(command.args(arguments), "humility")
}

/// Do the arguments say themselves what to look at?
fn names_source(arguments: &[OsString]) -> bool {
    let options = ["-d", "--dump", "-a", "--archive"];
    arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        let name = argument.split('=').next().unwrap_or_default();
        options.contains(&name)
    })
}

/// Runs the harness, which boots images in QEMU and looks at what they do.
pub fn harness(tree: &Tree, verb: &str, arguments: &[OsString]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", "harness", "--", verb])
        .args(arguments);
    // The harness and the host tools are looked for from the top of the tree.
    command.current_dir(&tree.root);
    let status = command.status()?;
    if !status.success() {
        bail!("{verb} failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_needs_no_archive() {
        let says = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            names_source(&words)
        };
        assert!(says(&["-d", "core", "tasks"]));
        assert!(says(&["--dump=core", "tasks"]));
        assert!(says(&["--archive", "zip", "map"]));
        assert!(!says(&["tasks", "-sl"]));
    }
}
