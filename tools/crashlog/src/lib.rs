//! The program that makes, reads and checks the cards of the crashlog flight recorder.
//!
//! `crashlog --help` describes the commands. Everything that is read from a card is hostile input:
//! it is decoded by `crashlog-format`, as in the firmware, and control characters are escaped
//! before it is printed (`text`). A problem is reported in one line on standard error and by an
//! exit code (`problem`).

#![forbid(unsafe_code)]

mod adopt;
mod archive;
mod archives;
mod backtrace;
mod blank;
mod boot;
mod boot_choice;
mod boot_table;
mod boots;
mod card;
mod cli;
mod clock;
mod crash;
mod describe;
mod dump;
mod dwarf;
mod erase;
mod format;
mod gaps;
mod image;
mod image_id;
mod ledgers;
mod list;
mod locate;
mod log;
mod log_line;
mod logbook;
mod memory;
mod output;
mod packed;
mod pieces;
mod postmortem;
mod problem;
mod program;
mod report;
mod ring;
mod ring_end;
mod running_clock;
mod secrets;
mod show;
mod signature;
mod since;
mod size;
mod snapshot;
mod table;
mod tails;
mod target;
mod tasks;
mod terminal;
mod text;
mod typed;
mod value;
mod verify;

use clap::Parser;
use cli::{Cli, Command};
pub use problem::Problem;
use std::ffi::OsString;
use std::io::Write;

/// Runs the program with its arguments, of which the first is its name. An invalid command line
/// ends the process.
///
/// # Errors
/// What the command could not do.
pub fn run<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<(), Problem> {
    let cli = Cli::parse_from(arguments);
    let mut out = terminal::output(cli.color, cli.command.is_data());
    match &cli.command {
        Command::Format(args) => format::run(args, &mut out)?,
        Command::List(args) => list::run(args, &mut out)?,
        Command::Show(args) => show::run(args, &mut out)?,
        Command::Dump(args) => dump::run(args, &mut out)?,
        Command::Report(args) => report::run(args, &mut out)?,
        Command::Log(args) => log::run(args, &mut out)?,
        Command::Boots(args) => boots::run(args, &mut out)?,
        Command::Verify(args) => verify::run(args, &mut out)?,
        Command::Erase(args) => erase::run(args, &mut out)?,
        Command::Adopt(args) => adopt::run(args, &mut out)?,
    }
    out.flush()?;
    Ok(())
}
