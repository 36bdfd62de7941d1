//! QEMU's command line.

use crate::board::{Board, Serial};
use crate::build::Image;
use crate::controller::Slot;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What QEMU does when the guest resets itself.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum OnReset {
    /// The machine boots again, as hardware does.
    Boot,
    /// The machine stops before the reset; memory and devices keep their state.
    Pause,
}

/// How time passes in the machine.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Time {
    /// Guest time is the host's time.
    Host,
    /// One nanosecond per instruction, and none while idle: runs are repeatable and instructions
    /// can be counted.
    Counted,
    /// The same with 32 nanoseconds per instruction: an instruction then takes longer than a tick
    /// of the SoC's timers, so that a timer can interrupt at any instruction.
    Slow,
}

/// The machine to start.
pub struct Config {
    /// The board.
    pub board: &'static Board,
    /// The image: an ELF file with kernel and tasks.
    pub image: PathBuf,
    /// The card's image; without one the slot is empty.
    pub card: Option<PathBuf>,
    /// The slot.
    pub slot: Slot,
    /// How time passes.
    pub time: Time,
    /// What a reset by the guest does.
    pub on_reset: OnReset,
    /// Whether to offer the debugger stub.
    pub debugger: bool,
    /// More arguments for QEMU.
    pub extra: Vec<OsString>,
}

impl Config {
    /// The machine as the demo runs it.
    pub fn new(image: &Image, card: Option<&Path>) -> Self {
        Self {
            board: image.board,
            image: image.elf.clone(),
            card: card.map(Path::to_owned),
            slot: image.slot,
            time: Time::Host,
            on_reset: OnReset::Boot,
            debugger: false,
            extra: Vec::new(),
        }
    }
}

/// The arguments for a machine whose sockets are in the folder `sockets`: `uart5`, `uart1`, `qmp`,
/// and `gdb` if it has a debugger. The processors are stopped at the start.
pub fn arguments(config: &Config, sockets: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    list.extend(config.board.machine.iter().map(OsString::from));
    list.extend(["-display", "none", "-monitor", "none", "-S"].map(OsString::from));
    for port in ["uart5", "uart1", "qmp"] {
        let mut chardev = OsString::from(format!("socket,id={port},path="));
        chardev.push(escaped(&sockets.join(port)));
        list.extend(["-chardev".into(), chardev]);
    }
    for port in config.board.serial {
        let device = match port {
            Serial::Unused => "null",
            Serial::Uart5 => "chardev:uart5",
            Serial::Uart1 => "chardev:uart1",
        };
        list.extend(["-serial", device].map(OsString::from));
    }
    list.extend(["-mon", "chardev=qmp,mode=control"].map(OsString::from));
    if config.debugger {
        let mut chardev = OsString::from("socket,id=gdb,server=on,wait=off,path=");
        chardev.push(escaped(&sockets.join("gdb")));
        list.extend([
            "-chardev".into(),
            chardev,
            "-gdb".into(),
            "chardev:gdb".into(),
        ]);
    }
    list.extend(["-kernel".into(), config.image.clone().into_os_string()]);
    if let Some(card) = &config.card {
        let mut drive = OsString::from(format!(
            "format=raw,if=sd,index={},file=",
            config.slot.index
        ));
        drive.push(escaped(card));
        list.extend(["-drive".into(), drive]);
    }
    let shift = match config.time {
        Time::Host => None,
        Time::Counted => Some(0),
        Time::Slow => Some(5),
    };
    if let Some(shift) = shift {
        list.push("-icount".into());
        list.push(format!("shift={shift},align=off,sleep=off").into());
    }
    if config.on_reset == OnReset::Pause {
        list.extend(["-action", "reboot=shutdown,shutdown=pause"].map(OsString::from));
    }
    list.extend(config.extra.iter().cloned());
    list
}

/// A path inside a QEMU option, where a comma is written twice.
fn escaped(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}

/// A command line that can be pasted into a shell.
pub fn shell_line(program: &OsStr, arguments: &[OsString]) -> String {
    let quote = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:+".contains(c);
        if word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    std::iter::once(program)
        .chain(arguments.iter().map(OsString::as_os_str))
        .map(quote)
        .collect::<Vec<_>>()
        .join(" ")
}
