//! The running machine, through QEMU's monitor protocol (QMP)

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Limit of the time that QEMU takes for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a machine's monitor.
pub struct Machine {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Machine {
    /// Connects to the socket that QEMU listens on.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| {
            format!(
                "{}: no machine answers here; start one with ./x qemu",
                socket.display()
            )
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream.try_clone()?);
        let mut machine = Self { stream, reader };
        machine.receive("its greeting")?;
        machine.execute("qmp_capabilities", &Value::Null)?;
        Ok(machine)
    }

    /// Whether the processors run.
    pub fn is_running(&mut self) -> Result<bool> {
        let status = self.execute("query-status", &Value::Null)?;
        Ok(status["running"] == true)
    }

    /// Stops the processors.
    pub fn stop(&mut self) -> Result<()> {
        self.execute("stop", &Value::Null).map(drop)
    }

    /// Lets the processors continue.
    pub fn go_on(&mut self) -> Result<()> {
        self.execute("cont", &Value::Null).map(drop)
    }

    /// The registers of the first processor, as the monitor prints them.
    pub fn registers(&mut self) -> Result<String> {
        let arguments = json!({ "command-line": "info registers", "cpu-index": 0 });
        let text = self.execute("human-monitor-command", &arguments)?;
        Ok(text.as_str().unwrap_or_default().to_string())
    }

    /// `length` bytes of physical memory. QEMU writes them to the file `scratch`, from which they
    /// are read.
    pub fn memory(&mut self, address: u32, length: u32, scratch: &Path) -> Result<Vec<u8>> {
        let arguments = json!({
            "val": address,
            "size": length,
            "filename": scratch.to_string_lossy(),
        });
        self.execute("pmemsave", &arguments)?;
        let bytes = std::fs::read(scratch)
            .with_context(|| format!("{}: QEMU did not save memory here", scratch.display()))?;
        if bytes.len() != length as usize {
            bail!(
                "QEMU saved {} of {length} bytes at {address:#x}",
                bytes.len()
            );
        }
        Ok(bytes)
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null() {
            message["arguments"] = arguments.clone();
        }
        self.stream
            .write_all(format!("{message}\n").as_bytes())
            .with_context(|| format!("QEMU does not take `{command}`"))?;
        loop {
            let reply = self.receive(command)?;
            if let Some(error) = reply.get("error") {
                bail!(
                    "QEMU refuses `{command}`: {}",
                    error["desc"].as_str().unwrap_or("no reason given")
                );
            }
            // Lines without `return` or `error` are events.
            if let Some(value) = reply.get("return") {
                return Ok(value.clone());
            }
        }
    }

    fn receive(&mut self, what: &str) -> Result<Value> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).with_context(|| {
            format!("QEMU did not answer `{what}`; is another program connected to it?")
        })?;
        if read == 0 {
            bail!("QEMU has ended; it did not answer `{what}`");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU answered `{}`", line.trim()))
    }
}
