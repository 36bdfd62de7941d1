//! Serial ports of the machine: read lines with bounded waits, send bytes.
//!
//! Each port is a socket that QEMU connects to. A thread logs what the guest sends, byte for byte,
//! and splits it into lines. What is sent to the guest waits in the socket until its UART has
//! space, so nothing is lost on the way: the socket is the flow control.

use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many lines an error quotes: the last ones.
const QUOTED: usize = 12;

/// One serial port, seen from outside the machine.
pub struct Port {
    name: String,
    stream: UnixStream,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<PortState>,
    changed: Condvar,
}

#[derive(Default)]
struct PortState {
    partial: Vec<u8>,
    lines: VecDeque<String>,
    recent: VecDeque<String>,
    closed: bool,
}

impl Port {
    /// Takes over the connection that QEMU made; what the guest sends is also written to `log`.
    pub fn new(name: &str, stream: UnixStream, log: File) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let reader = stream
            .try_clone()
            .with_context(|| format!("cannot duplicate the socket of {name}"))?;
        let theirs = shared.clone();
        std::thread::spawn(move || collect(reader, log, &theirs));
        Ok(Self {
            name: name.to_owned(),
            stream,
            shared,
        })
    }

    /// The next line of the guest, without its line end; `None` if there is none within `limit`, or
    /// QEMU has ended.
    pub fn next_line(&self, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                return Some(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a line that `wanted` accepts and returns it. Each line goes to `seen` first;
    /// `what` says for the error what the line is expected to say.
    ///
    /// # Errors
    /// If no such line comes within `limit`; the error quotes the last lines.
    pub fn watch(
        &self,
        what: &str,
        limit: Duration,
        mut seen: impl FnMut(&str),
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + limit;
        while let Some(line) = self.next_line(deadline.saturating_duration_since(Instant::now())) {
            seen(&line);
            if wanted(&line) {
                return Ok(line);
            }
        }
        let state = self.shared.lock();
        let why = if state.closed {
            "QEMU ended before a line that says".to_owned()
        } else {
            format!("within {limit:?} no line says")
        };
        let mut recent: Vec<_> = state.recent.iter().map(String::as_str).collect();
        let partial = String::from_utf8_lossy(&state.partial);
        recent.push(&partial);
        bail!(
            "{}: {why} {what}; the last lines were:\n    {}",
            self.name,
            recent.join("\n    ")
        )
    }

    /// [`Port::watch`] for a line that contains `text`.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<String> {
        self.watch(
            &format!("\"{text}\""),
            limit,
            |_| {},
            |line| line.contains(text),
        )
    }

    /// Whether `text` is in one of the lines that [`Port::next_line`] has not yet returned.
    pub fn has_said(&self, text: &str) -> bool {
        let state = self.shared.lock();
        state.lines.iter().any(|line| line.contains(text))
    }

    /// Starts to send `bytes` to the guest at `rate` bytes per second (`None`: as fast as the guest
    /// reads).
    pub fn send(&self, bytes: Vec<u8>, rate: Option<u32>) -> Result<Sending> {
        let stream = self
            .stream
            .try_clone()
            .with_context(|| format!("cannot duplicate the socket of {}", self.name))?;
        stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .context("cannot bound writes to the socket")?;
        let progress = Arc::new(Progress {
            stop: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
        });
        let theirs = progress.clone();
        let thread = std::thread::spawn(move || feed(stream, &bytes, rate, &theirs));
        Ok(Sending {
            progress,
            thread: Some(thread),
        })
    }
}

impl Shared {
    /// Ignores poisoning: a thread that panicked with the lock held leaves the state valid.
    fn lock(&self) -> MutexGuard<'_, PortState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PortState {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
                continue;
            }
            if self.partial.last() == Some(&b'\r') {
                self.partial.pop();
            }
            let line = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            if self.recent.len() == QUOTED {
                self.recent.pop_front();
            }
            self.recent.push_back(line.clone());
            self.lines.push_back(line);
        }
    }
}

fn collect(mut stream: UnixStream, mut log: File, shared: &Shared) {
    let mut buffer = [0; 4096];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = &buffer[..count];
        let _ = log.write_all(bytes);
        shared.lock().take(bytes);
        shared.changed.notify_all();
    }
    shared.lock().closed = true;
    shared.changed.notify_all();
}

/// Bytes on their way to a serial port. Dropping it stops the sending.
pub struct Sending {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

struct Progress {
    stop: AtomicBool,
    sent: AtomicUsize,
}

impl Sending {
    /// How many bytes are in QEMU's socket or beyond. The guest may have read fewer.
    pub fn sent(&self) -> usize {
        self.progress.sent.load(Ordering::Acquire)
    }

    /// Whether everything is sent.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until everything is sent. Returns `false` if it is not within `limit`.
    pub fn finish(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.is_finished() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends `bytes` until all are sent, the [`Sending`] is dropped, or QEMU has ended.
fn feed(mut stream: UnixStream, bytes: &[u8], rate: Option<u32>, progress: &Progress) {
    const SLICE: Duration = Duration::from_millis(10);
    let chunk = rate.map_or(4096, |rate| (rate as usize / 100).max(1));
    let mut sent = 0;
    let mut due = Instant::now();
    while sent < bytes.len() && !progress.stop.load(Ordering::Acquire) {
        let end = bytes.len().min(sent + chunk);
        match stream.write(&bytes[sent..end]) {
            Ok(count) => sent += count,
            Err(cause)
                if matches!(
                    cause.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return,
        }
        progress.sent.store(sent, Ordering::Release);
        if rate.is_some() {
            due += SLICE;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Port, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let log = tempfile::tempfile().expect("temporary file");
        (Port::new("uart", ours, log).expect("port"), theirs)
    }

    #[test]
    fn lines_end_at_line_feeds_in_chunks_of_any_size() {
        let (port, mut guest) = pair();
        for chunk in ["ab", "c\r", "\nde\n\n", "rest"] {
            guest.write_all(chunk.as_bytes()).expect("write");
        }
        let lines: Vec<_> = (0..3)
            .filter_map(|_| port.next_line(Duration::from_secs(5)))
            .collect();
        assert_eq!(lines, ["abc", "de", ""]);
        drop(guest);
        assert_eq!(port.next_line(Duration::from_secs(5)), None);
    }

    #[test]
    fn a_wait_that_fails_quotes_the_last_lines() {
        let (port, mut guest) = pair();
        guest.write_all(b"one\ntwo\nthr").expect("write");
        drop(guest);
        let error = port
            .wait_for("four", Duration::from_secs(5))
            .expect_err("there is no such line")
            .to_string();
        assert!(
            error.contains("\"four\"") && error.contains("two") && error.contains("thr"),
            "{error}"
        );
    }

    #[test]
    fn everything_that_is_sent_arrives() {
        let (port, mut guest) = pair();
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let sending = port.send(bytes.clone(), None).expect("sending");
        let mut got = vec![0; bytes.len()];
        guest.read_exact(&mut got).expect("read");
        assert!(sending.finish(Duration::from_secs(5)) && sending.sent() == bytes.len());
        assert!(got == bytes);
    }

    #[test]
    fn a_sending_without_a_reader_can_be_dropped() {
        let (port, _guest) = pair();
        let sending = port.send(vec![0; 10_000_000], None).expect("sending");
        assert!(!sending.finish(Duration::from_millis(100)));
        drop(sending);
    }
}
