//! One QEMU process: its command line, its sockets, its end.
//!
//! The machine is created stopped, so that the monitor and both serial ports are connected before the
//! first instruction runs and no byte of the boot is lost; [`Machine::run`] starts the processors.
//! Dropping a [`Machine`] kills QEMU.

use crate::artefacts::Artefacts;
use crate::controller::{EMMC, Slot};
use crate::qemu::Qemu;
use crate::qmp::Qmp;
use crate::serial::Port;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Real time that QEMU may take from its start until it has connected its sockets.
const START: Duration = Duration::from_secs(60);

/// Real time that QEMU may take to end after `quit`: it writes out its log first.
const END: Duration = Duration::from_secs(60);

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
    /// One nanosecond per instruction, and none while idle: runs are repeatable and instructions can be
    /// counted.
    Counted,
    /// The same with 32 nanoseconds per instruction: an instruction then takes longer than a tick of the
    /// SoC's timers, so that a timer can interrupt at any instruction.
    Slow,
}

/// The machine to start.
pub struct Config {
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
    pub fn new(image: &Path, card: Option<&Path>) -> Self {
        Self {
            image: image.to_owned(),
            card: card.map(Path::to_owned),
            slot: EMMC,
            time: Time::Host,
            on_reset: OnReset::Boot,
            debugger: false,
            extra: Vec::new(),
        }
    }
}

/// A running (or stopped) QEMU.
pub struct Machine {
    child: Child,
    sockets: TempDir,
    /// QEMU's monitor.
    pub qmp: Qmp,
    /// The first serial port: the output of the task `monitor`.
    pub uart5: Port,
    /// The second serial port: the console that the task `console` records.
    pub uart1: Port,
}

impl Machine {
    /// Starts QEMU with the processors stopped and all sockets connected.
    pub fn start(qemu: &Qemu, config: &Config, artefacts: &Artefacts) -> Result<Self> {
        // The path of a socket is limited to about 100 bytes, so it cannot be in the artefacts' folder.
        let sockets = tempfile::Builder::new()
            .prefix("harness")
            .tempdir()
            .context("no folder for sockets")?;
        let listen = |name: &str| -> Result<UnixListener> {
            let listener = UnixListener::bind(sockets.path().join(name))
                .context("cannot listen on a socket")?;
            listener
                .set_nonblocking(true)
                .context("cannot make a socket non-blocking")?;
            Ok(listener)
        };
        let (qmp, uart5, uart1) = (listen("qmp")?, listen("uart5")?, listen("uart1")?);

        let arguments = arguments(config, sockets.path());
        let mut log = artefacts.append("command-line")?;
        writeln!(log, "{}", shell_line(qemu.program(), &arguments))
            .context("cannot write the command line")?;
        let mut child = Command::new(qemu.program())
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(artefacts.append("qemu.log")?)
            .stderr(artefacts.append("qemu.log")?)
            .spawn()
            .context("cannot start QEMU")?;

        let deadline = Instant::now() + START;
        let connected = (|| {
            let mut accept = |listener| accept(listener, &mut child, deadline);
            let uart5 = Port::new("uart5", accept(&uart5)?, artefacts.append("uart5.log")?)?;
            let uart1 = Port::new("uart1", accept(&uart1)?, artefacts.append("uart1.log")?)?;
            let qmp = Qmp::new(accept(&qmp)?, artefacts.append("qmp.log")?)?;
            Ok::<_, anyhow::Error>((uart5, uart1, qmp))
        })();
        match connected {
            Ok((uart5, uart1, qmp)) => Ok(Self {
                child,
                sockets,
                qmp,
                uart5,
                uart1,
            }),
            Err(cause) => {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(artefacts.path("qemu.log")).unwrap_or_default();
                Err(cause.context(format!("QEMU did not start: {}", said.trim())))
            }
        }
    }

    /// Starts the processors.
    pub fn run(&mut self) -> Result<()> {
        self.qmp.execute("cont", Value::Null).map(drop)
    }

    /// Stops the processors; memory and devices keep their state.
    pub fn stop(&mut self) -> Result<()> {
        self.qmp.execute("stop", Value::Null).map(drop)
    }

    /// `length` bytes of physical memory from `address` on.
    pub fn memory(&mut self, address: u32, length: u32) -> Result<Vec<u8>> {
        let file = self.sockets.path().join("memory");
        let arguments =
            json!({ "val": address, "size": length, "filename": file.to_string_lossy() });
        self.qmp.execute("pmemsave", arguments)?;
        let bytes = std::fs::read(&file).context("cannot read the memory that QEMU saved")?;
        let _ = std::fs::remove_file(&file);
        Ok(bytes)
    }

    /// The socket on which the debugger stub listens.
    pub fn debugger_socket(&self) -> PathBuf {
        self.sockets.path().join("gdb")
    }

    /// Ends QEMU by `quit`, with everything written to its files.
    pub fn quit(mut self) -> Result<()> {
        self.qmp.quit()?;
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if self
                .child
                .try_wait()
                .context("cannot wait for QEMU")?
                .is_some()
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("QEMU did not end within {END:?} after `quit`")
    }

    /// Kills QEMU at once, like a power cut.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill QEMU")?;
        self.child.wait().context("cannot wait for QEMU").map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// QEMU's command line.
fn arguments(config: &Config, sockets: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    // With the smallest flash models QEMU starts in a third of the time. The flash is not used.
    list.extend(
        [
            "-M",
            "ast2600-evb,fmc-model=w25q80bl,spi-model=w25q80bl",
            "-m",
            "256M",
        ]
        .map(OsString::from),
    );
    list.extend(["-display", "none", "-monitor", "none", "-S"].map(OsString::from));
    for port in ["uart5", "uart1", "qmp"] {
        let mut chardev = OsString::from(format!("socket,id={port},path="));
        chardev.push(escaped(&sockets.join(port)));
        list.extend(["-chardev".into(), chardev]);
    }
    list.extend(["-serial", "chardev:uart5", "-serial", "chardev:uart1"].map(OsString::from));
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
fn shell_line(program: &OsStr, arguments: &[OsString]) -> String {
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

/// Waits until QEMU connects; fails if QEMU ends before.
fn accept(listener: &UnixListener, child: &mut Child, deadline: Instant) -> Result<UnixStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream
                    .set_nonblocking(false)
                    .context("cannot make a socket blocking")?;
                return Ok(stream);
            }
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
            Err(cause) => return Err(cause).context("cannot accept QEMU's connection"),
        }
        if let Some(status) = child.try_wait().context("cannot wait for QEMU")? {
            bail!("it ended with {status}");
        }
        if Instant::now() > deadline {
            bail!("it did not connect within {START:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
