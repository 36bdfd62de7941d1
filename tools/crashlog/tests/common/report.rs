//! Cards and pages for the tests of reports.

use super::{Bench, Partition, STRAY_WRITE, archive::Build, header, ok};
use crashlog_format::{Level, Stream};
use std::fs;
use std::path::PathBuf;

/// Texts that a browser would act on if they were not escaped. None of them may run, be loaded, or
/// change what is beside it.
pub const HOSTILE: [&str; 8] = [
    "<script>document.title='ran'</script>",
    "\"><img src=http://evil.example/a.png onerror=\"document.title='ran'\">",
    "</td></tr></table></section><iframe src='http://evil.example/frame'></iframe>",
    "</style><style>@import url(http://evil.example/a.css);</style>",
    "</script><svg onload=document.title='ran'><a href=javascript:alert(1)>x</a>",
    "{{ 7*7 }} {% raw %} &lt;b&gt; <!-- ",
    "\u{202e}txt.exe \u{2066}isolated \u{200f}mark \0 \x1b[31m",
    "' onmouseover=document.title='ran' style=position:fixed x='",
];

/// The name of a task in the archive: no zip member may have a slash in its name.
pub const HOSTILE_TASK: &str = "\"><img src=x onerror=document.title='ran'>";

/// A page made of a card, and of an archive, that are full of hostile text.
pub fn hostile_page(bench: &Bench) -> PathBuf {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    partition.image_id = 0x1234_5678;
    for (number, text) in (0..).zip(HOSTILE) {
        let console = header(Stream::Console, Level::Info, 2, 1_000 + number);
        let event = header(Stream::Event, Level::Error, 3, 1_100 + number);
        let text = text.as_bytes();
        partition.page(1, &[(console, text), (event, &[&[0], text].concat())]);
    }
    partition.crash(1, STRAY_WRITE, "worker");
    let archive = bench.path("hostile.zip");
    Build {
        id: Some(0x1234_5678),
        tasks: &[
            ("a", None),
            ("b", None),
            ("c<i>", None),
            (HOSTILE_TASK, None),
            ("e", None),
            ("f", None),
            ("worker", Some("<b>run</b>::<script>")),
        ],
    }
    .write(&archive);
    let page = bench.path("hostile.html");
    ok([
        "report".as_ref(),
        path.as_os_str(),
        "--archive".as_ref(),
        archive.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
    ]);
    page
}

/// A page of a crash after 40 records: of the task 3 every fourth, of the console the others.
pub fn plain_page(bench: &Bench) -> PathBuf {
    let path = bench.formatted();
    let mut partition = Partition::open(&path);
    for number in 0..40_u64 {
        let time = 1_000 + 50 * number;
        let text = format!("record {number}");
        let event = header(Stream::Event, Level::Warn, 3, time);
        let console = header(Stream::Console, Level::Info, 2, time);
        if number % 4 == 0 {
            partition.page(1, &[(event, format!("\0{text}").as_bytes())]);
        } else {
            partition.page(1, &[(console, format!("{text}\n").as_bytes())]);
        }
    }
    partition.crash(1, STRAY_WRITE, "worker");
    let page = bench.path("plain.html");
    ok([
        "report".as_ref(),
        path.as_os_str(),
        "-o".as_ref(),
        page.as_os_str(),
    ]);
    page
}

/// Reads a page.
pub fn read(page: &PathBuf) -> String {
    fs::read_to_string(page).expect("page")
}
