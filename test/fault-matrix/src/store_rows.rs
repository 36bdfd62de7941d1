//! Rows with the recorder's store over the drivers.
//!
//! Every log record that was accepted before the crash has to be on the card, with the crash; or
//! both have to be in retained memory, and written by the next boot.

use crate::Row;
use crate::broken::{Broken, Expected};
use crate::recorder::{Recorder, System};
use crate::setup::Setup;
use drv_sdhci_sim::Simulator;
use std::cell::Cell;
use std::rc::Rc;

/// What the recorder is doing when a task crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecorderActivity {
    /// Its first boot: identifying the card, finding the log.
    Mounting,
    /// A later boot: the same, with the location of the log in retained memory.
    MountingAgain,
    /// Nothing.
    Idle,
    /// Writing pages.
    Writing,
    /// Suspending the card, and resuming it.
    Suspending,
    /// Nothing; the card is suspended.
    Suspended,
    /// Nothing; other software has left the card with blocks of one byte.
    BlockLength,
}

/// Time of the crash.
const CRASH: u64 = 1_000_000;

fn situations() -> Vec<(&'static str, &'static str, RecorderActivity, Setup)> {
    vec![
        (
            "mounting",
            "mounting for the first time",
            RecorderActivity::Mounting,
            Setup::BASE,
        ),
        (
            "mounting-again",
            "mounting, place of the log known",
            RecorderActivity::MountingAgain,
            Setup::BASE,
        ),
        ("idle", "idle", RecorderActivity::Idle, Setup::BASE),
        (
            "writing-adma2",
            "writing pages by ADMA2",
            RecorderActivity::Writing,
            Setup::BASE,
        ),
        (
            "writing-pio",
            "writing pages by PIO",
            RecorderActivity::Writing,
            Setup::PIO,
        ),
        (
            "writing-cache",
            "writing pages to a card with a cache",
            RecorderActivity::Writing,
            Setup::CACHE,
        ),
        (
            "writing-sd",
            "writing pages to an SD card, by byte address",
            RecorderActivity::Writing,
            Setup::SD,
        ),
        (
            "suspending-clock",
            "suspending and resuming, clock off",
            RecorderActivity::Suspending,
            Setup::BASE,
        ),
        (
            "suspending-sleep",
            "suspending and resuming, card asleep",
            RecorderActivity::Suspending,
            Setup::SLEEP,
        ),
        (
            "suspending-power",
            "suspending and resuming, power off",
            RecorderActivity::Suspending,
            Setup::POWER_CUT,
        ),
        (
            "block-length",
            "idle, an SD card left with blocks of one byte by somebody else",
            RecorderActivity::BlockLength,
            Setup::SD,
        ),
        (
            "suspended-sleep",
            "suspended, card asleep",
            RecorderActivity::Suspended,
            Setup::SLEEP,
        ),
        (
            "suspended-power",
            "suspended, power off",
            RecorderActivity::Suspended,
            Setup::POWER_CUT,
        ),
    ]
}

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, text, doing, setup) in situations() {
        for (broken_name, broken) in Broken::all() {
            if broken.is_permanent() {
                continue;
            }
            rows.push(Row {
                id: format!("store::{name}::{broken_name}"),
                state: text.to_owned(),
                broken: broken_name.replace('-', " "),
                outcome: "crash record and every accepted log record on the card, whole, after the emergency, or written \
                          late by the next boot; older records unharmed; another card is not written",
                requirements: requirements(broken).to_owned(),
                run: Box::new(move || sweep(doing, setup, broken)),
            });
        }
    }
    rows.extend(crate::snapshot_rows::all());
    rows
}

/// What a row proves.
///
/// * REQ: M8 (a card that does not carry our partition is never written)
/// * REQ: K5 (every record that was reported written is read back whole)
/// * REQ: X3 (what could not be written is written by the next boot)
/// * REQ: X5 (every log record accepted before a crash is on the card after it)
/// * REQ: P8 (nothing that was there is overwritten, even if the first write ever is the emergency
///   write)
const fn requirements(broken: Broken) -> &'static str {
    match broken {
        Broken::Nothing => "K5 X5 P8",
        Broken::Replaced => "M8 X3 X5",
        _ => "K3 K5 X3 X5",
    }
}

/// Brings a system to each point of `doing`, crashes it there, and checks what is left. Returns the
/// number of points.
fn sweep(doing: RecorderActivity, setup: Setup, broken: Broken) -> u32 {
    let system = System::new(setup);
    let sim = &system.sim;
    let mut recorder = system.boot();
    let healthy = "the card is healthy";
    if doing == RecorderActivity::Mounting {
        recorder.append(12);
    } else {
        sim.block_on(recorder.mount()).expect(healthy);
        recorder.append(40);
        sim.block_on(recorder.write(30)).expect(healthy);
    }
    if doing == RecorderActivity::Suspended {
        sim.block_on(recorder.suspend()).expect(healthy);
    }
    if doing == RecorderActivity::BlockLength {
        sim.card().set_block_len(1);
    }
    if doing == RecorderActivity::MountingAgain {
        // The system has restarted, and the card kept its state.
        recorder = system.boot();
        recorder.append(5);
    }
    if matches!(
        doing,
        RecorderActivity::Idle | RecorderActivity::Suspended | RecorderActivity::BlockLength
    ) {
        check(&system, broken, &format!("{doing:?} {broken:?}"));
        return 1;
    }

    let stride = match broken {
        Broken::Nothing if setup.dma => 1,
        Broken::Nothing => 7,
        broken if broken.takes_long() => 499,
        _ => 101,
    };
    let points = Rc::new(Cell::new(0u32));
    let (count, accepted) = (Rc::clone(&points), Rc::clone(&system.accepted));
    sim.watch(Some(Box::new(move |sim: &Simulator| {
        let point = count.get();
        count.set(point + 1);
        if point.is_multiple_of(stride) {
            let system = System::over(sim.fork(), setup, Rc::clone(&accepted)).fork();
            check(
                &system,
                broken,
                &format!("{doing:?} point {point} {broken:?}"),
            );
        }
    })));
    sim.block_on(work(&mut recorder, doing)).expect(healthy);
    sim.watch(None);
    points.get().div_ceil(stride)
}

async fn work(
    recorder: &mut Recorder<'_>,
    doing: RecorderActivity,
) -> Result<(), crate::recorder::Failed> {
    match doing {
        RecorderActivity::Mounting | RecorderActivity::MountingAgain => {
            recorder.mount().await?;
            recorder.write(3).await
        }
        RecorderActivity::Suspending => {
            recorder.suspend().await?;
            recorder.resume().await
        }
        _ => {
            recorder.write(20).await?;
            recorder.write(0).await
        }
    }
}

/// Crashes a copy of the system with `broken`, for a fault of one command at each command in turn;
/// then boots it again.
fn check(system: &System, broken: Broken, what: &str) {
    for command in 0..500 {
        let what = format!("{what}, at command {command}");
        let system = system.fork();
        let sim = &system.sim;
        if broken != Broken::Nothing {
            sim.controller().timing.access_us = 10;
        }
        let ours = sim.card().clone();
        broken.apply_to(sim, command);
        system.crash(CRASH);
        let (saved, report) = system.emergency();
        if broken.expected(false) == Expected::Saved && !broken.may_lose_cache() {
            assert!(saved && system.has_tail(), "{what}: {report:?}");
        }
        let happened = broken.has_happened(sim);
        sim.no_faults();
        sim.set_clock_fault(drv_sdhci_sim::ClockFault::None);
        let mut is_ours = sim.card().serial() == ours.serial();
        if !is_ours {
            assert_eq!(
                sim.card().last_written(),
                None,
                "{what}: another card was written"
            );
        }
        if broken == Broken::Replaced {
            assert!(!saved, "{what}");
            // The first card is put back, as it was.
            let mut ours = ours;
            ours.power_on();
            sim.insert(ours);
            is_ours = true;
        }
        if is_ours {
            if saved {
                let content = system.content();
                if system.has_tail() {
                    system.check_log(&content, &what);
                }
                let is_saved = content.crashes.contains_key(&CRASH);
                assert!(is_saved, "{what}: the crash is missing");
            }
            next_boot(&system, &what);
        }
        if !broken.is_swept() || !happened {
            return;
        }
    }
    panic!("{what}: 500 commands are not enough");
}

/// The next boot finds on the card, or writes late, what the emergency has left.
fn next_boot(system: &System, what: &str) {
    let sim = &system.sim;
    let mut recorder = system.boot();
    sim.block_on(recorder.mount()).expect(what);
    sim.block_on(recorder.write(7)).expect(what);
    sim.block_on(recorder.write(0)).expect(what);
    let content = system.content();
    system.check_log(&content, what);
    let crashes: Vec<u64> = content.crashes.keys().copied().collect();
    assert_eq!(crashes, [CRASH], "{what}");
}
