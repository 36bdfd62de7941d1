//! Rows in which something breaks while the snapshot of a crash is written.
//!
//! The crash is durable before that. It has to stand, whatever happens to the snapshot; and as the
//! image is still in retained memory, the next boot writes it.

use crate::Row;
use crate::broken::{Broken, Expected};
use crate::recorder::System;
use crate::setup::Setup;
use crate::slot::AGAIN_MS;
use drv_sdhci_sim::{ClockFault, SimCard, Simulator};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Time of the crash.
const CRASH: u64 = 1_000_000;

/// What the second phase may take, milliseconds, with what is needed to notice its end.
const MOST_MS: u64 = AGAIN_MS as u64 + 3 * 10;

const OUTCOME: &str = "crash record and every accepted log record on the card, whole; a snapshot that the ledger names is \
                       whole; bounded in time; the next boot writes the snapshot if the emergency has not";

fn situations() -> [(&'static str, &'static str, Setup); 4] {
    [
        ("snapshot-adma2", "writing a snapshot by ADMA2", Setup::BASE),
        ("snapshot-pio", "writing a snapshot by PIO", Setup::PIO),
        (
            "snapshot-cache",
            "writing a snapshot to a card with a cache",
            Setup::CACHE,
        ),
        (
            "snapshot-sd",
            "writing a snapshot to an SD card, by byte address",
            Setup::SD,
        ),
    ]
}

/// Every row.
///
/// * REQ: X1 (the snapshot is bounded in time, whatever is broken)
/// * REQ: X5 (no fault while the snapshot is written harms the crash or a log record)
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, state, setup) in situations() {
        for (broken_name, broken) in Broken::all() {
            rows.push(Row {
                id: format!("store::{name}::{broken_name}"),
                state: state.to_owned(),
                broken: broken_name.replace('-', " "),
                outcome: OUTCOME,
                requirements: "K1 K3 X1 X5".to_owned(),
                run: Box::new(move || sweep(setup, broken)),
            });
        }
        rows.push(Row {
            id: format!("store::{name}::reset"),
            state: state.to_owned(),
            broken: "the system is reset, by the supervisor or the watchdog".to_owned(),
            outcome: OUTCOME,
            requirements: "X1 X3 X5".to_owned(),
            run: Box::new(move || resets(setup)),
        });
    }
    rows
}

/// A system with some log on its card, in which a task has crashed and the supervisor has made an
/// image.
fn crashed(setup: Setup) -> System {
    let system = System::new(setup);
    let mut recorder = system.boot();
    let healthy = "the card is healthy";
    system.sim.block_on(recorder.mount()).expect(healthy);
    recorder.append(40);
    system.sim.block_on(recorder.write(30)).expect(healthy);
    drop(recorder);
    system.crash(CRASH);
    system.make_image();
    system
}

/// Breaks something when the crash is durable: a fault of one command at each command in turn.
fn sweep(setup: Setup, broken: Broken) -> u32 {
    let crashed = crashed(setup);
    for command in 0..500 {
        let what = format!("{setup:?} {broken:?}, at command {command}");
        let system = crashed.fork();
        let sim = &system.sim;
        let before: RefCell<Option<(SimCard, u64)>> = RefCell::default();
        let written = system.emergency_and_snapshot(|| {
            if broken != Broken::Nothing {
                sim.controller().timing.access_us = 10;
            }
            let card = sim.card().clone();
            before.replace(Some((card, sim.now_us())));
            broken.apply_to(sim, command);
        });
        let (ours, began) = before.take().expect("the crash is durable");
        let took = sim.now_us().saturating_sub(began) / 1000;
        let has_clock = !matches!(broken, Broken::Clock(_) | Broken::ClockAndBusy(_));
        assert!(!has_clock || took <= MOST_MS, "{what}: {took} ms");
        if broken.expected(setup.cache) == Expected::Saved && !broken.may_lose_cache() {
            assert!(written, "{what}");
        }
        let happened = broken.has_happened(sim);
        let is_same = repair(sim, ours, broken);
        check(&system, written && is_same, &what);
        next_boot(&system, &what);
        if !broken.is_swept() || !happened {
            return command + 1;
        }
    }
    panic!("{broken:?}: 500 commands are not enough");
}

/// Ends what was broken. A card that was removed or exchanged is put back, as it was when the crash
/// was durable. Returns whether it was there all the time.
fn repair(sim: &Simulator, ours: SimCard, broken: Broken) -> bool {
    sim.no_faults();
    sim.set_clock_fault(ClockFault::None);
    {
        let mut controller = sim.controller();
        controller.stuck_resets = 0;
        controller.unstable_clock = false;
        controller.command_inhibit = false;
        controller.data_inhibit = false;
    }
    let there = sim.eject();
    let is_same = there
        .as_ref()
        .is_some_and(|card| card.serial() == ours.serial());
    if !is_same {
        let written = there.as_ref().and_then(SimCard::last_written);
        assert_eq!(written, None, "{broken:?}: another card was written");
    }
    let mut card = there.filter(|_| is_same).unwrap_or(ours);
    card.protected = None;
    card.power_on();
    sim.insert(card);
    is_same
}

/// Resets the system at each register access while the snapshot is written: the watchdog, or the
/// supervisor because its time is up, because it fails, or because the recorder fails.
fn resets(setup: Setup) -> u32 {
    let system = crashed(setup);
    let points = Rc::new(Cell::new(0u32));
    let (count, accepted) = (Rc::clone(&points), Rc::clone(&system.accepted));
    let watcher = move |sim: &Simulator| {
        let point = count.get();
        count.set(point + 1);
        if point.is_multiple_of(if setup.dma { 1 } else { 7 }) {
            let system = System::over(sim.fork(), setup, Rc::clone(&accepted)).fork();
            let what = format!("{setup:?}, reset at point {point}");
            check(&system, false, &what);
            next_boot(&system, &what);
        }
    };
    let sim = &system.sim;
    assert!(system.emergency_and_snapshot(|| sim.watch(Some(Box::new(watcher)))));
    sim.watch(None);
    check(&system, true, "at the end");
    points.get()
}

/// The crash and the log are on the card, whole. So is the snapshot if the ledger names it, which
/// it has to if it was reported as `written`.
fn check(system: &System, written: bool, what: &str) {
    let content = system.content();
    system.check_log(&content, what);
    let crashes: Vec<u64> = content.crashes.keys().copied().collect();
    assert_eq!(crashes, [CRASH], "{what}");
    let snapshot = content.snapshots.get(&CRASH);
    assert_ne!(snapshot, Some(&false), "{what}: the snapshot is damaged");
    assert!(!written || snapshot.is_some(), "{what}: it is missing");
}

/// The next boot writes the snapshot if it is not on the card.
fn next_boot(system: &System, what: &str) {
    let mut recorder = system.boot();
    system.sim.block_on(recorder.mount()).expect(what);
    system.sim.block_on(recorder.write(7)).expect(what);
    system.sim.block_on(recorder.write(0)).expect(what);
    check(system, true, what);
}
