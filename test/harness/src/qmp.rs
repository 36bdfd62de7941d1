//! QEMU's machine protocol: commands, replies and events over a socket.
//!
//! The harness listens and QEMU connects, so there is no socket file to wait for and no race with
//! QEMU's start. A thread reads QEMU's messages, logs them, and separates replies from events;
//! [`Qmp::execute`] is therefore a plain call with a time limit. One command is in flight at a
//! time, so replies need no ids.

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Real time that QEMU may take to answer a command. Only a host under heavy load needs this long.
const REPLY: Duration = Duration::from_secs(30);

/// A connection to QEMU's monitor, in command mode.
pub struct Qmp {
    stream: UnixStream,
    log: Arc<Mutex<File>>,
    replies: Receiver<Value>,
    events: Receiver<Value>,
}

impl Qmp {
    /// Takes over the connection that QEMU made, and enters command mode. All messages go to `log`.
    pub fn new(stream: UnixStream, log: File) -> Result<Self> {
        let log = Arc::new(Mutex::new(log));
        let (reply_sender, replies) = channel();
        let (event_sender, events) = channel();
        let reader = stream
            .try_clone()
            .context("cannot duplicate the QMP socket")?;
        let reader_log = log.clone();
        std::thread::spawn(move || read(reader, &reader_log, &reply_sender, &event_sender));
        let mut qmp = Self {
            stream,
            log,
            replies,
            events,
        };
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs one command and returns its result. `Value::Null` means no arguments.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut message = json!({ "execute": command });
        if !arguments.is_null() {
            message["arguments"] = arguments;
        }
        self.send(command, &message)?;
        let reply = self
            .replies
            .recv_timeout(REPLY)
            .map_err(|cause| match cause {
                RecvTimeoutError::Timeout => {
                    anyhow!("QEMU did not answer `{command}` within {REPLY:?}")
                }
                RecvTimeoutError::Disconnected => {
                    anyhow!("QEMU has ended; it did not answer `{command}`")
                }
            })?;
        match reply.get("error") {
            Some(error) => bail!(
                "QEMU refused `{command}`: {}",
                error["desc"].as_str().unwrap_or("no reason given")
            ),
            None => Ok(reply["return"].clone()),
        }
    }

    /// Tells QEMU to end. QEMU may close the connection without an answer, which counts as one.
    pub fn quit(&mut self) -> Result<()> {
        self.send("quit", &json!({ "execute": "quit" }))?;
        match self.replies.recv_timeout(REPLY) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                bail!("QEMU did not answer `quit` within {REPLY:?}")
            }
        }
    }

    /// Sends a message in one write: QEMU acts on a command at its last brace, and may have ended
    /// before a line feed that is written after it.
    fn send(&mut self, command: &str, message: &Value) -> Result<()> {
        note(&self.log, "->", &message.to_string());
        self.stream
            .write_all(format!("{message}\n").as_bytes())
            .with_context(|| format!("cannot send `{command}` to QEMU"))
    }

    /// Runs a command of the human monitor, for what has no QMP command.
    pub fn human(&mut self, command_line: &str) -> Result<String> {
        let value = self.execute(
            "human-monitor-command",
            json!({ "command-line": command_line }),
        )?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for the named event and returns its data; other events that come before it are
    /// dropped.
    pub fn wait_event(&mut self, name: &str, limit: Duration) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if event["event"] == name => return Ok(event["data"].clone()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("QEMU did not report {name} within {limit:?}")
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("QEMU ended before it reported {name}")
                }
            }
        }
    }

    /// The names of the events since the last call, oldest first.
    pub fn events(&mut self) -> Vec<String> {
        self.events
            .try_iter()
            .filter_map(|event| event["event"].as_str().map(str::to_owned))
            .collect()
    }
}

/// Separates replies from events until QEMU closes the connection; the senders are dropped then,
/// which ends every wait.
fn read(stream: UnixStream, log: &Mutex<File>, replies: &Sender<Value>, events: &Sender<Value>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        note(log, "<-", &line);
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let sent = if message.get("event").is_some() {
            events.send(message).is_ok()
        } else if message.get("QMP").is_some() {
            true // the greeting
        } else {
            replies.send(message).is_ok()
        };
        if !sent {
            return;
        }
    }
}

/// Adds a line to the log. Errors are ignored: the log is for people only.
fn note(log: &Mutex<File>, direction: &str, text: &str) {
    if let Ok(mut log) = log.lock() {
        let _ = writeln!(log, "{direction} {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A QEMU that ends at `quit` without an answer.
    fn hasty(mut stream: UnixStream) {
        let mut said = Vec::new();
        let mut byte = [0];
        while stream.read(&mut byte).is_ok_and(|n| n == 1) {
            said.push(byte[0]);
            if let Ok(message) = serde_json::from_slice::<Value>(&said) {
                if message["execute"] == "quit" {
                    return;
                }
                said.clear();
                let _ = stream.write_all(b"{\"return\": {}}\n");
            }
        }
    }

    #[test]
    fn a_qemu_that_ends_without_an_answer_has_quit() {
        for _ in 0..100 {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            let qemu = std::thread::spawn(move || hasty(theirs));
            let log = tempfile::tempfile().expect("a file for the log");
            let mut qmp = Qmp::new(ours, log).expect("a connection");
            qmp.quit().expect("it quits");
            qemu.join().expect("the other side ends");
        }
    }
}
