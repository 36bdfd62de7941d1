//! The command line: what `crashlog --help` says is written here.

use crate::size;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something on the card is damaged, or what was asked for is not there
  2  the command line makes no sense
  3  the input is not a card of ours, or not in a version this program knows
  4  a file or device could not be opened, read or written

The card is only ever written by `format` and `erase`. Everything else may be
used on a card that is in use, or that was pulled out at any moment.";

const EXAMPLES: &str = "\
Examples:
  crashlog format emmc.img --size 64M     make an image for QEMU
  crashlog list emmc.img                  which crashes are on it
  crashlog show emmc.img                  the newest of them, explained
  crashlog show emmc.img 7 --archive build-app-image-default.zip
  crashlog log emmc.img --boot 3          what was logged in the third boot
  crashlog log emmc.img --stream console --raw > console.txt
  crashlog list --json /dev/mmcblk0 | jq '.records[].task'
";

/// Makes, reads and checks the cards of the crashlog flight recorder.
///
/// IMAGE is the image file of a card, a block device such as /dev/mmcblk0, or the file or device of the crashlog
/// partition alone, such as /dev/mmcblk0p3.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"), max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// When to use colour; `auto` means on a terminal, unless the variable NO_COLOR is set.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: Color,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prepare a card or an image for the flight recorder.
    Format(Format),
    /// List the crash records, oldest first.
    List(List),
    /// Show one crash record: who, what, where, and the log lines just before.
    Show(Show),
    /// Print the log, oldest line first.
    Log(Log),
    /// Check every structure on the card and report each that is damaged.
    Verify(Verify),
    /// Erase one crash record; its number is never used again.
    Erase(Erase),
}

/// Prepares a card or an image for the flight recorder.
///
/// A new image, or a card without a partition table, gets a GPT whose only partition is named "crashlog". On a card
/// that has such a partition already only that partition is formatted. On the device of a single partition, no
/// partition table is made. What is there already and is not ours, and crash records of ours, are only overwritten
/// with --force.
#[derive(Debug, Args)]
pub struct Format {
    /// Image file, block device or partition; an image file that does not exist is made.
    pub image: PathBuf,

    /// Size of a new image file: a power of two, as QEMU demands.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub size: Option<u64>,

    /// How many record slots to make.
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,

    /// Size of one record slot: the most that one crash can save.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub slot_size: Option<u64>,

    /// Keep the partition table that is there, and put our partition into its largest gap.
    #[arg(long)]
    pub keep: bool,

    /// Overwrite what is there.
    #[arg(long)]
    pub force: bool,

    /// Accept an image file whose size is not a power of two. QEMU will not.
    #[arg(long)]
    pub any_size: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Number of the record, as `list` shows it; the newest if left out.
    pub sequence: Option<u32>,

    /// How many of the log lines before the crash to show.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub lines: usize,

    /// Build archive of the firmware: turns addresses into functions and source lines.
    #[arg(long, value_name = "ZIP")]
    pub archive: Option<PathBuf>,

    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Log {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Only this stream.
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<StreamName>,

    /// Only this boot, as the second column shows it.
    #[arg(long, value_name = "N")]
    pub boot: Option<u32>,

    /// Only this task: its index, or with --archive its name.
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,

    /// Only this level and more important ones.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<LevelName>,

    /// Write the payloads alone, byte for byte, with nothing added: what went into the stream comes out.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,

    /// Build archive of the firmware: gives the names of the tasks, and shows typed events as values.
    #[arg(long, value_name = "ZIP")]
    pub archive: Option<PathBuf>,

    /// Print one JSON object per line and record.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Erase {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Number of the record, as `list` shows it.
    pub sequence: u32,
}

/// The streams of the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Lines of text that were recorded from a serial console.
    Console,
    /// What tasks logged about themselves.
    Event,
    /// What the recorder noted about crashes.
    Fault,
    /// Snapshots of ring buffers.
    Trace,
}

/// Importance of a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
