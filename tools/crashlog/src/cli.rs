//! The command line, and the text of `crashlog --help`.

use crate::boot_choice::BootChoice;
use crate::since::Since;
use crate::size;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  something on the card is damaged, or what was asked for does not exist
  2  the command line is invalid
  3  the input is not a crashlog card, or its version is unknown
  4  a file or device could not be opened, read or written

Only `format`, `erase` and `adopt` write to the card. The other commands may be used on
a card that is in use, or that was removed at any moment.";

const BOOT_HELP: &str = "Only these boots: a number as `boots` shows it, `last` for the newest in the log, `-1` for the \
     one before it, or a range such as 3..5 or -2..last";

const EXAMPLES: &str = "\
Examples:
  crashlog format emmc.img --size 64M     make an image for QEMU
  crashlog list emmc.img                  list the crashes on it
  crashlog show emmc.img                  explain the newest crash
  crashlog show emmc.img 7 --archive build-app-image-default.zip
  crashlog show emmc.img --archive builds  pick the archive in the folder builds
  crashlog dump emmc.img --archive builds -o core   write the memory for Humility and gdb
  crashlog report emmc.img 7 --archive builds -o report.html
  crashlog boots emmc.img                 list the boots, and how each ended
  crashlog log emmc.img --boot 3          print the log of the third boot
  crashlog log emmc.img --boot last       print that of the last one
  crashlog log emmc.img --last 50         print the last 50 lines
  crashlog log emmc.img --since 2026-11-28T09:40
  crashlog log emmc.img --stream console --raw > console.txt
  crashlog list --json /dev/mmcblk0 | jq '.crashes[].task'
";

/// Makes, reads and checks the cards of the crashlog flight recorder.
///
/// IMAGE is the image file of a card, a block device such as /dev/mmcblk0, or the file or device of
/// the crashlog partition alone, such as /dev/mmcblk0p3.
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
    /// Show one crash record: task, fault, place, and the log before it.
    Show(Show),
    /// Write the memory of a crash as a core that Humility and gdb open.
    Dump(Dump),
    /// Write a page for a browser that explains one crash.
    Report(Report),
    /// Print the log, oldest line first.
    Log(Log),
    /// List the boots, oldest first, and how each ended.
    Boots(Boots),
    /// Check every structure on the card and report damaged ones.
    Verify(Verify),
    /// Erase one crash record; its number is never used again.
    Erase(Erase),
    /// Make a partition that was copied or moved ours again.
    Adopt(Adopt),
}

impl Command {
    /// Whether the output is for a program, and not for a person.
    pub const fn is_data(&self) -> bool {
        match self {
            Self::List(args) => args.json,
            Self::Show(args) => args.json,
            Self::Log(args) => args.json || args.raw,
            Self::Boots(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Format(_) | Self::Dump(_) | Self::Report(_) | Self::Erase(_) | Self::Adopt(_) => {
                false
            }
        }
    }
}

/// Prepares a card or an image for the flight recorder.
///
/// A new image, or a blank card, gets a GPT whose only partition is named "crashlog". If a card has
/// such a partition already, only that partition is formatted. If IMAGE is the device of a
/// partition, or the file of one, no partition table is made; of a file nobody knows where it
/// belongs, so `adopt` is needed when it is on its card. What is not blank is only overwritten with
/// --force, and listed before. If it is interrupted, the card is as it was, or formatted.
#[derive(Debug, Args)]
pub struct Format {
    /// Image file, block device or partition; an image file that does not exist is created.
    pub image: PathBuf,

    /// Size of a new image file: a power of two, as QEMU requires.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub size: Option<u64>,

    /// Number of crash slots.
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,

    /// Size of one crash slot: the most that can be saved of one crash.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub slot_size: Option<u64>,

    /// Keep the existing partition table, and add the crashlog partition in its largest blank gap.
    #[arg(long)]
    pub keep: bool,

    /// Overwrite existing data.
    #[arg(long)]
    pub force: bool,

    /// Accept an image file whose size is not a power of two, although QEMU does not.
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

    /// Number of the crash record, as `list` shows it; without it the newest.
    pub sequence: Option<u32>,

    /// Number of log lines before the crash to show.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub lines: usize,

    /// Of which tasks to show backtraces and ring buffers; `crashed` means the crashed one, and the
    /// ring buffers of supervisor and recorder.
    #[arg(long, value_name = "WHICH", default_value = "crashed")]
    pub tasks: TaskChoice,

    #[command(flatten)]
    pub archives: ArchiveArgs,

    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Writes the memory that was saved with a crash as an ELF core, as `humility dump` does.
///
/// `humility -d FILE tasks -slr` and `gdb` open it. Of an oops it is the dump of one task. Memory
/// that is not on the card is not in the file, and is listed.
#[derive(Debug, Args)]
pub struct Dump {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Number of the crash record, as `list` shows it; without it the newest.
    pub sequence: Option<u32>,

    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Overwrite a file that exists.
    #[arg(long)]
    pub force: bool,

    /// Write the zip file that `humility hydrate` takes, with the memory of the crashed task.
    #[arg(long)]
    pub hydrate: bool,

    #[command(flatten)]
    pub archives: ArchiveArgs,
}

/// Writes a page for a browser that explains one crash.
///
/// The page is one file that needs no other, and no network.
#[derive(Debug, Args)]
pub struct Report {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Number of the crash record, as `list` shows it; without it the newest.
    pub sequence: Option<u32>,

    /// File to write, such as report.html.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,

    /// Number of log records before the crash to show, at most 20000.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = report_lines)]
    pub lines: usize,

    #[command(flatten)]
    pub archives: ArchiveArgs,
}

/// Greatest number of log records in a report: a browser takes seconds for more.
const REPORT_LINES_MAX: usize = 20_000;

fn report_lines(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| *number <= REPORT_LINES_MAX);
    number.ok_or_else(|| format!("must be a number from 0 to {REPORT_LINES_MAX}"))
}

/// The tasks of which details are shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskChoice {
    Crashed,
    All,
}

/// The build archives of the firmware.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// Build archive of the firmware, or a folder of archives: shows functions and lines, names of
    /// tasks, and typed events as values. May be given several times; the one that fits is picked
    /// by image id. Without it the variable CRASHLOG_ARCHIVES is used: paths, separated by colons.
    #[arg(long, value_name = "ZIP|FOLDER")]
    pub archive: Vec<PathBuf>,

    /// Use the first archive even if it is of another image.
    #[arg(long)]
    pub archive_mismatch_ok: bool,
}

#[derive(Debug, Args)]
pub struct Log {
    /// Image file, block device or partition.
    pub image: PathBuf,

    /// Only this stream.
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<StreamName>,

    #[arg(long, value_name = "WHICH", help = BOOT_HELP, allow_hyphen_values = true)]
    pub boot: Option<BootChoice>,

    /// Only what was logged at this time of day (UTC) or later, such as 2026-11-28T09:40:00Z,
    /// 2026-11-28T09:40 or 2026-11-28. Records of boots without a time of day are left out.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,

    /// Only the last N records of those that the other options select.
    #[arg(long, value_name = "N")]
    pub last: Option<u64>,

    /// Only this task: its index or, with --archive, its name.
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,

    /// Only records of this level and of more important ones.
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<LevelName>,

    /// Write only the payloads, unchanged and with nothing added.
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,

    #[command(flatten)]
    pub archives: ArchiveArgs,

    /// Print one JSON object for each record, one per line.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Boots {
    /// Image file, block device or partition.
    pub image: PathBuf,

    #[arg(long, value_name = "WHICH", help = BOOT_HELP, allow_hyphen_values = true)]
    pub boot: Option<BootChoice>,

    #[command(flatten)]
    pub archives: ArchiveArgs,

    /// Print one JSON object instead of a table.
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

    /// Number of the crash record, as `list` shows it.
    pub sequence: u32,
}

/// Makes a partition that was copied or moved ours again.
///
/// A superblock states where its partition is, and its GUID. If the partition table says otherwise,
/// the partition is read and not written, neither by a device nor by this program: it may be a copy
/// beside the real one. This prints what both say and what is on the partition, and then writes its
/// superblocks anew. Log and crash records stay.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Image file or block device of the whole card.
    pub image: PathBuf,
}

/// The streams of the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Lines of text from a serial console.
    Console,
    /// What tasks log about themselves.
    Event,
    /// Lines of text about faults.
    Fault,
    /// Snapshots of ring buffers.
    Trace,
    /// What firmware each boot runs.
    Boot,
}

/// The levels of log records.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum LevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}
