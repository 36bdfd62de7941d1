//! A progress line, if the standard error is a terminal

use std::io::{IsTerminal, Write, stderr};

/// The line. It is erased when dropped.
pub struct Progress {
    terminal: bool,
    total: usize,
    done: usize,
}

impl Progress {
    /// A line for `total` steps.
    pub fn new(total: usize) -> Self {
        Self {
            terminal: stderr().is_terminal(),
            total,
            done: 0,
        }
    }

    /// Shows the next step: `building crashlog 3/8`.
    pub fn step(&mut self, what: &str) {
        self.done += 1;
        if self.terminal {
            eprint!("\r\x1b[K{what} {}/{}", self.done, self.total);
            let _ = stderr().flush();
        }
    }

    /// Erases the line before other output.
    pub fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    /// Whether programs whose output is shown later should colour it.
    pub fn terminal(&self) -> bool {
        self.terminal
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
