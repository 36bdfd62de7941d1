//! Verbs that run another program with the right arguments

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
    // A dump contains its archive, and Humility refuses an archive beside it.
    if !names_source(arguments) {
        command.arg("-a").arg(&product.archive);
    }
    run(command.args(arguments), "humility")
}

/// Refuses a verb of upstream that has no meaning here, with the reason.
pub fn refuse(verb: &str) -> Result<()> {
    let why = match verb {
        "flash" => "the board is QEMU's, which loads the image itself: ./x qemu boots it",
        "i2c-codegen" => "no board here has an I2C topology to generate code from",
        "gha-prepare-artifacts" => "./x dist prints the archive, which is the one artefact",
        _ => "an editor needs the environment of one task; ./x xtask clippy TASK checks it",
    };
    bail!("{verb}: there is no such verb here: {why}")
}

/// Whether the arguments name an archive or a dump.
fn names_source(arguments: &[OsString]) -> bool {
    let options = ["-d", "--dump", "-a", "--archive"];
    arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        let name = argument.split('=').next().unwrap_or_default();
        options.contains(&name)
    })
}

/// Runs the harness, which runs images in QEMU and checks what they do.
pub fn harness(tree: &Tree, verb: &str, arguments: &[OsString]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", "harness", "--", verb])
        .args(arguments);
    // The harness finds itself and the host tool relative to the top of the tree.
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
