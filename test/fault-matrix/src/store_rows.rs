//! Rows with the recorder's store on top: every log record that was accepted before the crash is on the card, with the
//! record of the crash, or both are in retained memory and written by the next boot.

use crate::Row;
use crate::broken::{Broken, Expected};
use crate::recorder::{Recorder, System};
use crate::slot::Setup;
use drv_mmc::normal::Suspended;
use drv_sdhci_sim::{Model, Simulator};
use std::cell::Cell;
use std::rc::Rc;

/// What the recorder is doing when a task crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Its first boot: identifying, finding the log.
    Mounting,
    /// A later boot: the same, knowing from before where the log is.
    MountingAgain,
    /// Nothing.
    Resting,
    /// Writing pages.
    Writing,
    /// Putting the card to rest, and waking it.
    Suspending,
    /// Nothing, the card at rest.
    Suspended,
    /// Nothing; somebody else has left the card with blocks of one byte.
    BlockLength,
}

const BASE: Setup = Setup {
    model: Model::EmmcSector,
    dma: true,
    rest: Suspended::ClockOff,
    cache: false,
    card_detect: true,
    interrupt: None,
};

/// Time of the crash.
const CRASH: u64 = 1_000_000;

fn situations() -> Vec<(&'static str, &'static str, Doing, Setup)> {
    let pio = Setup { dma: false, ..BASE };
    let cache = Setup {
        cache: true,
        ..BASE
    };
    let sd = Setup {
        model: Model::SdStandard,
        ..BASE
    };
    let asleep = Setup {
        rest: Suspended::Asleep,
        ..BASE
    };
    let power = Setup {
        rest: Suspended::PowerOff,
        ..BASE
    };
    vec![
        (
            "mounting",
            "mounting for the first time",
            Doing::Mounting,
            BASE,
        ),
        (
            "mounting-again",
            "mounting, place of the log known",
            Doing::MountingAgain,
            BASE,
        ),
        ("idle", "idle", Doing::Resting, BASE),
        (
            "writing-adma2",
            "writing pages by ADMA2",
            Doing::Writing,
            BASE,
        ),
        ("writing-pio", "writing pages by PIO", Doing::Writing, pio),
        (
            "writing-cache",
            "writing pages to a card with a cache",
            Doing::Writing,
            cache,
        ),
        (
            "writing-sd",
            "writing pages to an SD card, by byte address",
            Doing::Writing,
            sd,
        ),
        (
            "suspending-clock",
            "suspending and resuming, clock off",
            Doing::Suspending,
            BASE,
        ),
        (
            "suspending-sleep",
            "suspending and resuming, card asleep",
            Doing::Suspending,
            asleep,
        ),
        (
            "suspending-power",
            "suspending and resuming, power off",
            Doing::Suspending,
            power,
        ),
        (
            "block-length",
            "idle, an SD card left with blocks of one byte by somebody else",
            Doing::BlockLength,
            sd,
        ),
        (
            "suspended-sleep",
            "suspended, card asleep",
            Doing::Suspended,
            asleep,
        ),
        (
            "suspended-power",
            "suspended, power off",
            Doing::Suspended,
            power,
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
    rows
}

/// What a row proves.
///
/// * REQ: M8 (a card that does not carry our partition is never written)
/// * REQ: K5 (every record that was reported written is read back whole)
/// * REQ: X3 (what could not be written is written by the next boot)
/// * REQ: X5 (every log record accepted before a crash is on the card after it)
/// * REQ: P8 (nothing that was there is overwritten, even if the first write ever is the emergency write)
const fn requirements(broken: Broken) -> &'static str {
    match broken {
        Broken::Nothing => "K5 X5 P8",
        Broken::Replaced => "M8 X3 X5",
        _ => "K3 K5 X3 X5",
    }
}

/// Brings a system to each point of what it is doing, crashes there, and checks. Returns the number of points.
fn sweep(doing: Doing, setup: Setup, broken: Broken) -> u32 {
    let system = System::new(setup);
    let sim = &system.sim;
    let mut recorder = system.boot();
    let healthy = "the card is healthy";
    if doing == Doing::Mounting {
        recorder.append(12);
    } else {
        sim.block_on(recorder.mount()).expect(healthy);
        recorder.append(40);
        sim.block_on(recorder.write(30)).expect(healthy);
    }
    if doing == Doing::Suspended {
        sim.block_on(recorder.suspend()).expect(healthy);
    }
    if doing == Doing::BlockLength {
        sim.card().set_block_len(1);
    }
    if doing == Doing::MountingAgain {
        // The system has restarted, and the card has noticed nothing.
        recorder = system.boot();
        recorder.append(5);
    }
    if matches!(
        doing,
        Doing::Resting | Doing::Suspended | Doing::BlockLength
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

async fn work(recorder: &mut Recorder<'_>, doing: Doing) -> Result<(), crate::recorder::Failed> {
    match doing {
        Doing::Mounting | Doing::MountingAgain => {
            recorder.mount().await?;
            recorder.write(3).await
        }
        Doing::Suspending => {
            recorder.suspend().await?;
            recorder.resume().await
        }
        _ => {
            recorder.write(20).await?;
            recorder.write(0).await
        }
    }
}

/// Crashes, with what is broken, at each command if it is swept; then the next boot.
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
        let (saved, found) = system.emergency();
        if broken.expected(false) == Expected::Saved && !broken.may_lose_cache() {
            assert!(saved, "{what}: {found:?}");
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
            // It is put back, as it was.
            let mut ours = ours;
            ours.power_on();
            sim.insert(ours);
            is_ours = true;
        }
        if is_ours {
            if saved {
                let content = system.content();
                system.check_log(&content, &what);
                let recorded = content.records.contains_key(&CRASH);
                assert!(recorded, "{what}: the record is missing");
            }
            next_boot(&system, &what);
        }
        if !broken.is_swept() || !happened {
            return;
        }
    }
    panic!("{what}: 500 commands are not enough");
}

/// The next boot finds, or writes late, what the emergency has left.
fn next_boot(system: &System, what: &str) {
    let sim = &system.sim;
    let mut recorder = system.boot();
    sim.block_on(recorder.mount()).expect(what);
    sim.block_on(recorder.write(7)).expect(what);
    sim.block_on(recorder.write(0)).expect(what);
    let content = system.content();
    system.check_log(&content, what);
    let crashes: Vec<u64> = content.records.keys().copied().collect();
    assert_eq!(crashes, [CRASH], "{what}");
}
