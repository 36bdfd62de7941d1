//! `crashlog report`: one crash as a page for a browser.
//!
//! The page is one file that needs no other: style and script are part of it, and its content
//! security policy allows these two, by their hashes, and nothing else. Everything that comes from
//! the card or from the archive is text: it passes [`crate::text::printable`], and the templates
//! escape it (askama does so for every value that is not marked `safe`; only style, script and the
//! numbers in drawings are).
//!
//! Parts: `summary` has what happened and the facts, `timeline` the log before the crash, `tasks`
//! and `waits` what the tasks did, `rings` their ring buffers, `memory` what was saved and what is
//! missing, `page` the templates.

mod memory;
mod page;
mod rings;
mod summary;
mod tasks;
mod timeline;
mod waits;

#[cfg(test)]
mod tests;

use crate::archives::{self, Archives};
use crate::backtrace::Backtrace;
use crate::card::Card;
use crate::cli::Report;
use crate::logbook::Logbook;
use crate::output;
use crate::postmortem::PostMortem;
use crate::problem::Problem;
use crate::show::saved;
use crate::snapshot::Snapshot;
use crate::terminal::Output;
use crate::text::printable;
use page::{Asset, Page};
use std::io::Write;
use timeline::Timeline;

pub fn run(args: &Report, out: &mut Output) -> Result<(), Problem> {
    output::check(&args.output, args.force)?;
    output::refuse_input(&args.output, &args.image, "the card")?;
    let archives = Archives::given(&args.archives)?;
    archives.refuse_as_output(&args.output)?;
    let card = Card::open(&args.image, false)?;
    let crash = card.find(args.sequence)?;
    let archive = crash.archive(&archives)?;
    let names = archives::names(archive.as_ref());
    let segments = crash.segments(&card)?;
    let mut snapshot = Snapshot::read(&card, &crash)?;
    // What was saved is listed before the archive's flash is added to it.
    let saved_memory = snapshot.as_ref().ok().map(memory::Saved::of);
    // An archive that does not fit may be of no use here; the rest of the page is.
    let post = match (&archive, &mut snapshot) {
        (Some(archive), Ok(snapshot)) => Some(PostMortem::new(archive, &crash, snapshot)),
        _ => None,
    };
    let (post, unexplained) = match post {
        Some(Ok(post)) => (Some(post), None),
        Some(Err(problem)) => (None, Some(problem)),
        None => (None, None),
    };
    let program = crash.program(archive.as_ref())?;
    let memory = snapshot.as_ref().ok().map(|snapshot| &snapshot.memory);
    let backtrace = program
        .as_ref()
        .filter(|_| crash.has_place())
        .map(|program| Backtrace::new(program, &crash, &segments, memory));
    let frames = summary::frames(backtrace.as_ref());
    let mut missing = memory::missing(&card, &crash, &segments, &snapshot, post.as_ref(), names);
    missing.extend(unexplained.map(|problem| printable(problem.to_string().as_bytes())));
    let logbook = Logbook::open_for(&card, [&crash])?;
    let page = Page {
        style: Asset::new(&format!("{}{}", page::STYLE, timeline::filter_style())),
        script: Asset::new(page::SCRIPT),
        title: summary::title(&crash),
        subtitle: summary::subtitle(&crash, archive.as_ref()),
        what: summary::what(&crash, &frames, names),
        messages: summary::messages(&segments),
        facts: summary::facts(&crash, archive.as_ref(), logbook.clock()),
        timeline: Timeline::read(&logbook, &crash, args.lines, names)?,
        registers: summary::registers(&crash, program.as_ref()),
        frames,
        dumps: summary::dumps(&segments),
        map: saved_memory.and_then(|saved| saved.map(post.as_ref())),
        regions: match (&post, &snapshot) {
            (Some(post), _) => memory::values(post, names),
            (None, Ok(snapshot)) => memory::regions(snapshot, names),
            (None, Err(_)) => Vec::new(),
        },
        rings: post.as_ref().map_or(Vec::new(), rings::read),
        tasks: post
            .as_ref()
            .and_then(|post| tasks::of_system(post, archive.as_ref()))
            .or_else(|| tasks::read(&segments, archive.as_ref())),
        emergency: summary::emergency(&crash),
        card: summary::card(&card, &args.image, &crash, archive.as_ref()),
        missing,
        version: env!("CARGO_PKG_VERSION"),
    };
    let html = page.html()?;
    output::write(&args.output, args.force, |out| {
        out.write_all(html.as_bytes())
    })?;
    writeln!(out, "{}: the report is written", args.output.display())?;
    out.flush()?;
    const REST: &str = "the rest is in the report";
    saved::check(&snapshot, &card, crash.header.sequence.get(), REST)?;
    crash.check(&card, &segments, REST)
}
