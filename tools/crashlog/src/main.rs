//! Makes, reads and checks the cards of the crashlog flight recorder.
//!
//! The host's side of the card format: `crashlog --help` says what it does. Whatever is read from a card is hostile
//! input; all decoding is done by `crashlog-format`, which the firmware shares, and what is shown is made harmless for
//! terminals first. Problems are one line on standard error and an exit code.

#![forbid(unsafe_code)]

mod archive;
mod card;
mod cli;
mod describe;
mod erase;
mod format;
mod image;
mod list;
mod locate;
mod log;
mod logbook;
mod problem;
mod show;
mod size;
mod table;
mod tasks;
mod terminal;
mod text;
mod typed;
mod unwind;
mod verify;

use clap::Parser;
use cli::{Cli, Command};
use problem::Problem;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if problem.is_closed_pipe() => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("crashlog: {problem}");
            ExitCode::from(problem.code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), Problem> {
    let mut out = terminal::output(cli.color);
    match &cli.command {
        Command::Format(args) => format::run(args, &mut out)?,
        Command::List(args) => list::run(args, &mut out)?,
        Command::Show(args) => show::run(args, &mut out)?,
        Command::Log(args) => log::run(args, &mut out)?,
        Command::Verify(args) => verify::run(args, &mut out)?,
        Command::Erase(args) => erase::run(args, &mut out)?,
    }
    out.flush()?;
    Ok(())
}
