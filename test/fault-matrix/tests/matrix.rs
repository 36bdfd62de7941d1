//! Runs the part of the fault matrix that is for the host, one test for each row.
//!
//! If `FAULT_MATRIX_OUT` names a directory, the rows that have passed are written there as
//! `drv.tsv`: id, who fails, state of controller and card, what is broken, what is checked, where
//! it runs, requirements.

use fault_matrix::Table;
use libtest_mimic::Arguments;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let table = Table::default();
    let trials = fault_matrix::rows::all()
        .into_iter()
        .chain(fault_matrix::store_rows::all())
        .map(|row| row.into_trial(table.clone()))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(directory) = std::env::var_os("FAULT_MATRIX_OUT")
        && let Ok(mut lines) = table.lock()
        && !lines.is_empty()
    {
        lines.sort();
        let path = Path::new(&directory).join("drv.tsv");
        if let Err(error) = std::fs::write(&path, lines.join("\n") + "\n") {
            eprintln!("{}: cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    conclusion.exit_code()
}
