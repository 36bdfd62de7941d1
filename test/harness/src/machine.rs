//! One QEMU process: its start, its sockets, its end. [`command_line`] has its arguments.
//!
//! The machine is created stopped, so that the monitor and both serial ports are connected before
//! the first instruction runs and no byte of the boot is lost; [`Machine::run`] starts the
//! processors. Dropping a [`Machine`] kills QEMU.

pub use crate::qemu::command_line::{Config, OnReset, Time};

use crate::artefacts::Artefacts;
use crate::qemu::{Qemu, command_line};
use crate::qmp::Qmp;
use crate::serial::Port;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Real time that QEMU may take from its start until it has connected its sockets.
const START: Duration = Duration::from_secs(60);

/// Real time that QEMU may take to end after `quit`: it writes out its log first.
const END: Duration = Duration::from_secs(60);

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
        // The path of a socket is limited to about 100 bytes, so it cannot be in the artefacts'
        // folder.
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

        let arguments = command_line::arguments(config, sockets.path());
        let mut log = artefacts.append("command-line")?;
        let line = command_line::shell_line(qemu.program(), &arguments);
        writeln!(log, "{line}").context("cannot write the command line")?;
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
