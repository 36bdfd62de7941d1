//! `./x xtask fault-matrix`: runs every row, in QEMU and on the host, and writes the document.

use super::{listed, rows_as_trials};
use crate::build::cargo;
use crate::matrix_document::{self, FOLDER};
use crate::paths;
use crate::suite::session::Session;
use anyhow::{Context, Result, ensure};
use libtest_mimic::Arguments;
use std::fs;
use std::sync::Arc;

/// Crates with rows on the host.
const HOST: [&str; 1] = ["fault-matrix"];

/// Runs each row, unless `only_write`, and writes the document from the lines that the rows have
/// left. Returns whether all rows passed.
pub fn run(only_write: bool) -> Result<bool> {
    let folder = paths::target().join("fault-matrix");
    if !only_write {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", paths::shown(&folder)))?;
        let rows = rows_as_trials(&Arc::new(Session::default()), Some(folder.clone()));
        if libtest_mimic::run(&Arguments::default(), rows).has_failed() {
            return Ok(false);
        }
        for package in HOST {
            let status = cargo()
                .args(["test", "--quiet", "--package", package])
                .env(FOLDER, &folder)
                .status()
                .context("cannot run cargo")?;
            ensure!(status.success(), "rows on the host failed, in {package}");
        }
    }
    let matrix = listed().ran(matrix_document::read_all(&folder)?)?;
    matrix.write()?;
    let (qemu, host) = matrix.counts();
    println!(
        "{qemu} rows passed in QEMU and {host} on the host.\n{}: the document, in which those on the host are counted\n\
         {}: all rows, one line each",
        paths::shown(&matrix_document::document()),
        paths::shown(&matrix_document::full_table())
    );
    Ok(true)
}
