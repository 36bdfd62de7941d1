//! The harness' command line; see the library for what it does.

#![forbid(unsafe_code)]

use anyhow::Result;
use clap::{Parser, Subcommand};
use harness::board::Board;
use harness::{bench, demo, stand_in, suite};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the firmware in QEMU.
#[derive(Parser)]
#[command(name = "harness")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build, crash, restart, and read the crash back.
    Demo {
        /// The board, as QEMU names it: ast2600-evb or mcimx6ul-evk.
        #[arg(long, value_name = "NAME", default_value = "ast2600-evb", value_parser = Board::find)]
        board: &'static Board,
        /// Send this file to the recorded console, instead of a log of this computer.
        #[arg(long, value_name = "FILE")]
        console: Option<PathBuf>,
        /// The worker hangs, instead of storing through a bad pointer.
        #[arg(long)]
        hang: bool,
    },
    /// Run the tests, on the host and in QEMU.
    Test {
        /// Also run what takes hours.
        #[arg(long)]
        all: bool,
        /// With --all, only every Nth moment of the sweeps, from the Kth on; 1/N to N/N are all of
        /// them.
        #[arg(long, value_name = "K/N", requires = "all")]
        shard: Option<suite::Shard>,
        /// List the tests without running them.
        #[arg(long)]
        list: bool,
        /// How many tests run at a time.
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Run every row of the fault matrix, and write doc/fault-matrix.md.
    FaultMatrix {
        /// Run nothing; write the document from the lines that the rows of the last run have left.
        #[arg(long)]
        only_write: bool,
    },
    /// Make the golden cards anew, and what the host tool prints of them: test/golden.
    Golden {
        /// Make no cards; write what the tool prints of those that are there.
        #[arg(long)]
        only_outputs: bool,
    },
    /// Count instructions, compare them with the budgets, and write doc/numbers.md.
    Bench {
        /// Show instead in which functions the instructions are, for the rows whose name contains
        /// ROW.
        #[arg(long, value_name = "ROW")]
        profile: Option<String>,
    },
    /// Answer as Humility does; for the tests of the scripts.
    #[command(hide = true)]
    StandIn {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command.
fn run(command: Command) -> Result<ExitCode> {
    let passed = match command {
        Command::Demo {
            board,
            console,
            hang,
        } => demo::run(board, console.as_deref(), hang).map(|()| true)?,
        Command::Test {
            all,
            shard,
            list,
            threads,
            filter,
        } => suite::run(&suite::Selection {
            all,
            shard: shard.unwrap_or_default(),
            list,
            threads,
            filter,
        })?,
        Command::FaultMatrix { only_write } => suite::run_fault_matrix(only_write)?,
        Command::Golden { only_outputs } => suite::run_golden(only_outputs)?,
        Command::StandIn { arguments } => return Ok(stand_in::run(&arguments)),
        Command::Bench { profile } => bench::run(profile.as_deref()).map(|()| true)?,
    };
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
