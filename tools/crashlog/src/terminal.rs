//! Output for people: colours, and a progress bar for long work.
//!
//! A progress bar appears if the work takes longer than a second.

use crate::cli::Color;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{BufWriter, StdoutLock};
use std::time::{Duration, Instant};

/// Headings and names.
pub const STRONG: Style = Style::new().bold();
/// Less important text.
pub const FAINT: Style = Style::new().dimmed();
/// Crashes and damage.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Warnings.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Success.
pub const GOOD: Style = AnsiColor::Green.on_default();

/// Standard output, buffered; styles are removed where no colour is wanted.
pub type Output = BufWriter<AutoStream<StdoutLock<'static>>>;

/// Opens standard output. `is_data`: what is written to it passes unchanged, as a program reads it.
pub fn output(color: Color, is_data: bool) -> Output {
    let stdout = std::io::stdout();
    let choice = match color {
        _ if is_data => ColorChoice::AlwaysAnsi,
        Color::Auto => AutoStream::choice(&stdout),
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    BufWriter::new(AutoStream::new(stdout.lock(), choice))
}

/// A progress bar on standard error. It appears only on a terminal, and only if the work takes
/// longer than a second.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    shown: bool,
}

impl Progress {
    /// A progress bar for work on `total` blocks.
    pub fn new(doing: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:40}] {percent}% {eta}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(doing);
        Self {
            bar,
            begun: Instant::now(),
            shown: false,
        }
    }

    /// Notes that `done` blocks are done.
    pub fn at(&mut self, done: u64) {
        if !self.shown && self.begun.elapsed() >= Duration::from_secs(1) {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
