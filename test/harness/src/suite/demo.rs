//! The demo, with all kinds of text on the console.

use super::{Cases, Rig, Session};
use crate::build::{DEMO, DEMO_IMX6UL};
use crate::console_text;
use crate::demo_run::DemoRun;
use anyhow::Result;
use libtest_mimic::Trial;
use std::sync::Arc;
use test_random::Random;

/// A name, and what makes the text.
type Text = (&'static str, fn() -> Vec<u8>);

const TEXTS: [Text; 6] = [
    ("log of this computer", || {
        console_text::from_this_machine().0
    }),
    ("long lines", long_lines),
    ("control characters", control_characters),
    ("invalid UTF-8", random_bytes),
    ("empty console", Vec::new),
    ("200 KiB", large),
];

/// REQ: C3, C4, C7: a task faults, the crash and every log line before it are on the card after the
/// restart, and the console stream is byte for byte what was sent, whatever it was.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let on = |subject: &str, app| {
        TEXTS.map(|(name, text)| {
            session.trial(
                format!("{subject}::{}", name.replace(' ', "-")),
                app,
                move |rig| run(rig, &text()),
            )
        })
    };
    on("demo", DEMO)
        .into_iter()
        .chain(on("mcimx6ul-evk::demo", DEMO_IMX6UL))
        .collect()
}

fn run(rig: &Rig, text: &[u8]) -> Result<Cases> {
    let demo = DemoRun {
        qemu: &rig.qemu,
        image: &rig.image,
        tool: &rig.tool,
        artefacts: &rig.artefacts,
    };
    demo.run(text, |_| {})?;
    Ok(Cases::one())
}

/// Lines around each length at which a log record or a page ends, and some that are longer than a
/// page.
fn long_lines() -> Vec<u8> {
    let lengths = (250..260)
        .chain(476..484)
        .chain([511, 512, 513, 4_000, 20_000]);
    lengths
        .flat_map(|length| {
            let line = (0..length).map(|at| b'a' + (at % 26) as u8);
            line.chain([b'\n']).collect::<Vec<_>>()
        })
        .collect()
}

/// Every pair of control characters, each one before DEL and a letter, and the line ends of all
/// systems.
fn control_characters() -> Vec<u8> {
    let mut text = Vec::new();
    for first in 0..32 {
        for second in (0..32).chain([0x7f, b'x']) {
            text.extend([first, second]);
        }
        text.extend(b"\x1b[31mred\x1b[0m\r\n\n\r\n");
    }
    text
}

fn random_bytes() -> Vec<u8> {
    let mut random = Random::new(0x2545_f491);
    let words = std::iter::repeat_with(|| random.word()).take(8_000);
    words.flat_map(u32::to_le_bytes).collect()
}

/// More than the log ring in RAM holds, faster than a serial line.
fn large() -> Vec<u8> {
    (0..)
        .flat_map(|line| {
            format!("line {line:05}: the quick brown fox jumps over the lazy dog\n").into_bytes()
        })
        .take(200 * 1024)
        .collect()
}
