//! What firmware each boot ran, and how it ended: its boot record, and the names that the tool
//! takes by it.

use super::{Cases, Rig, Session};
use crate::build::{DEMO, Image, SABOTEUR_IMX6UL};
use crate::evidence::Expected;
use crate::machine::{Config, Machine};
use crate::sabotage::{APP, Deed, Failing, Stop, Work, task};
use crate::suite::matrix::scene::{LOOP, SOON, Scene};
use crate::suite::matrix::system::{KERNEL_IPC, failure};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The recorder looks for the log on the card.
const MOUNT: &[&str] = &["crashlog_store::search::find_log"];
/// The recorder is about to write pages of the log.
const WRITE: &[&str] = &["LogRing", "next_run"];

const LIMIT: Duration = Duration::from_secs(120);

/// REQ: X9: two firmwares, whose tasks have different indices, on one card. Each boot begins with
/// one boot record, which names its build, and the names in its log are those of that build.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let shared = session.clone();
    vec![
        session.trial("boots::two-firmwares", APP, move |rig| {
            let demo = shared.with_image(DEMO, |image| Ok(image.clone()))?;
            two_firmwares(rig, &demo)
        }),
        session.trial("boots::ends", APP, ends),
        session.trial("boots::time-of-day", APP, time_of_day),
        session.trial("boots::who-ran-last", APP, who_ran_last),
        session.trial("boots::watchdog", APP, ended_by_watchdog),
        session.trial(
            "mcimx6ul-evk::boots::watchdog",
            SABOTEUR_IMX6UL,
            ended_by_watchdog,
        ),
        session.trial("boots::recorder-restarted", APP, recorder_restarted),
        session.trial("boots::crash-before-the-card-is-known", APP, crash_early),
    ]
}

/// REQ: X11 (in part: not by the chip's reset reason)
///
/// Boots that end in each way, and the last one, which runs: the tool tells them from each other,
/// and names who has asked for a restart.
fn ends(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    scene.begin()?;
    scene.system.reset()?;
    scene.system.go_to(Stop::Ready)?;
    scene.strike_idle()?;
    for deed in [Deed::RequestReset, Deed::Reset] {
        scene.boot()?;
        scene.strike(Work::Sleep(1_000), SOON, deed)?;
    }
    scene.boot()?;
    // A task fails, so that the supervisor calls the kernel.
    let (fatal, how) = (false, Failing::STORE);
    scene
        .system
        .work(Work::Fail { fatal, how }, 0, Deed::Nothing)?;
    scene.go_into_program("kernel", KERNEL_IPC)?;
    scene.derail()?;
    scene.boot()?;
    // What the recorder knows of those before, and of one that is too long ago.
    for boots_ago in [1, 2, 3, 4, 5] {
        finish(&mut scene, Work::TellEnd(boots_ago))?;
    }
    finish(&mut scene, Work::Append(12))?;
    // Power is lost.
    let card = scene.card.clone();
    drop(scene);
    let mut scene = Scene::with(rig, card)?;
    scene.boot()?;
    finish(&mut scene, Work::TellEnd(1))?;
    finish(&mut scene, Work::Append(12))?;

    let archive = rig.image.archive.as_os_str();
    let arguments = ["boots", "--json", "--archive"].map(OsStr::new);
    let arguments = arguments
        .into_iter()
        .chain([archive, scene.card.as_os_str()]);
    let printed: Value = serde_json::from_slice(&rig.tool.bytes(arguments)?)?;
    let boots = printed["boots"].as_array().context("no boots")?;
    let told: Vec<_> = boots
        .iter()
        .map(|boot| {
            let ended = &boot["ended"];
            let text = |key: &str| ended[key].as_str().unwrap_or_default().to_owned();
            (text("how"), text("task"), ended["crash"].is_u64())
        })
        .collect();
    let expected = [
        ("reset from outside", "", false),
        ("crash", "saboteur", true),
        ("restart", "saboteur", false),
        ("restart", "saboteur", false),
        ("kernel failure", "kernel", true),
        ("power lost", "", false),
        ("running", "", false),
    ]
    .map(|(how, task, crash)| (how.to_owned(), task.to_owned(), crash));
    ensure!(told == expected, "the boots ended as {told:#?}");
    // Task 2 is the saboteur.
    for (boot, ends) in [(6, &["k0", "r2", "r2", "c2", "n0"][..]), (7, &["p0"])] {
        let log = log(rig, &scene.card, boot, &[&rig.image.archive])?;
        let told: Vec<_> = log
            .iter()
            .filter_map(|record| record["text"].as_str()?.trim_end().strip_prefix("end "))
            .collect();
        ensure!(told == ends, "a client was told of boot {boot}: {told:?}");
    }
    ensure!(
        boots.iter().all(|boot| boot["build"]["app"] == "saboteur"
            && boot["records"].as_u64() > Some(0)
            && boot["lost"] == 0),
        "the boots are {boots:#?}"
    );
    Ok(Cases::one())
}

/// Lets the client do this, and waits until it has.
fn finish(scene: &mut Scene<'_>, work: Work) -> Result<()> {
    scene.system.work(work, 0, Deed::Nothing)?;
    scene.system.go_to(Stop::Done)?;
    scene.system.go_to(Stop::Ready)
}

/// A client sets the time and sets it back, then the system crashes; in the next boot nobody does.
/// What the boot logged before it knew the time has a time, the crash is told by the last one.
fn time_of_day(rig: &Rig) -> Result<Cases> {
    /// 2026-11-28 09:40:00 UTC.
    const MORNING: u64 = 1_795_858_800_000;
    /// The year 2000.
    const MILLENNIUM: u64 = 946_684_800_000;
    let mut scene = Scene::with_card_of(rig, "64M")?;
    scene.boot()?;
    for work in [
        Work::SetTime(MORNING),
        Work::Append(12),
        Work::SetTime(MILLENNIUM),
    ] {
        finish(&mut scene, work)?;
    }
    let seen = scene.strike_idle()?;
    ensure!(seen.error == 0, "the client had an error: {seen:?}");
    let expected = [Expected::panic("saboteur")];
    let crashes = scene.recovers(&expected, seen.accepted)?;
    let utc = |value: &Value| value["utc"].as_str().map(str::to_owned);
    let crash = crashes.first().context("no crash")?;
    ensure!(
        utc(crash).is_some_and(|utc| utc.starts_with("2000-01-01T00:00:")),
        "the crash is {crash:#}"
    );
    let first = log(rig, &scene.card, 1, &[&rig.image.archive])?;
    let years: Option<Vec<_>> = first
        .iter()
        .map(|record| Some((utc(record)?.get(..4)?.to_owned(), record)))
        .collect();
    let years = years.with_context(|| format!("a record has no time: {first:#?}"))?;
    let set = years.iter().position(|(year, _)| year == "2000");
    let (before, after) = years.split_at(set.context("the time was not set back")?);
    ensure!(
        before.iter().all(|(year, _)| year == "2026") && before.len() >= 14,
        "the log is {first:#?}"
    );
    ensure!(
        after.iter().all(|(year, _)| year == "2000") && after[0].1["task"] == "load",
        "the log is {first:#?}"
    );
    let second = log(rig, &scene.card, 2, &[&rig.image.archive])?;
    ensure!(
        !second.is_empty() && second.iter().all(|record| utc(record).is_none()),
        "the log of the second boot is {second:#?}"
    );
    Ok(Cases::one())
}

/// REQ: X1 (in part), X11 (in part: who ran last)
///
/// A task runs when the machine is reset from outside, and when the kernel enters a loop with all
/// interrupts masked, which only the chip's watchdog ends. Neither leaves a note or a crash, and
/// the boots after them say which task ran last, and where.
fn who_ran_last(rig: &Rig) -> Result<Cases> {
    // CPSID F
    const MASK: u16 = 0xb671;
    const TIME: u32 = 20 * SOON;
    let mut scene = Scene::with_card_of(rig, "64M")?;
    let (fatal, how) = (true, Failing::HANG_COMPUTES);
    let work = Work::Fail { fatal, how };

    scene.begin()?;
    scene.strike(work, TIME, Deed::Nothing)?;
    scene
        .system
        .machine
        .qmp
        .execute("system_reset", Value::Null)?;
    scene.boot()?;

    scene.strike(work, TIME, Deed::Nothing)?;
    // The supervisor looks for hangs.
    let at = scene.go_into_program("kernel", KERNEL_IPC)?;
    let code = [&MASK.to_le_bytes()[..], &LOOP[..]].concat();
    scene.system.debugger.set_memory(at, &code)?;
    scene.system.forget_time();
    scene.boot()?;

    let archive = [OsStr::new("--archive"), rig.image.archive.as_os_str()];
    let card = [scene.card.as_os_str()];
    let boots = |how: &[&str], archive: &[&OsStr]| {
        let how = how.iter().map(OsStr::new);
        let arguments = how.chain(archive.iter().copied()).chain(card);
        rig.tool.text(arguments)
    };
    let printed: Value = serde_json::from_str(&boots(&["boots", "--json"], &archive)?)?;
    for boot in [0, 1] {
        let boot = &printed["boots"][boot];
        let ran = &boot["last_ran"];
        ensure!(
            boot["ended"]["how"] == "reset from outside"
                && ran["task"] == "fatal"
                && ran["function"]
                    .as_str()
                    .is_some_and(|name| name.contains("assist_hang")),
            "the boot should have ended in assist_hang of fatal, and is {boot:#}"
        );
    }
    ensure!(
        printed["boots"][2]["last_ran"].is_null(),
        "the last boot runs: {printed:#}"
    );
    for (archive, told) in [
        (&archive[..], "fatal ran last, at 0x"),
        (&[], "task 4 ran last, at 0x"),
    ] {
        let text = boots(&["boots"], archive)?;
        ensure!(
            text.matches(told).count() == 2
                && text.matches("watchdog or reset from outside").count() == 2,
            "the table does not say {told}:\n{text}"
        );
    }
    Ok(Cases::one())
}

/// REQ: X1 (in part: of an end by the watchdog there is a crash, with who ran last and all tasks),
/// X11 (in part: by the chip's reset reason)
///
/// The machine is reset in the kernel, while a task is in a loop, and the chip says, which QEMU's
/// models do not, that it was its watchdog.
fn ended_by_watchdog(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    let main = scene.system.symbols.address("kernel", "kernel_main")?;
    scene.begin()?;
    let (fatal, how) = (true, Failing::HANG_COMPUTES);
    // The supervisor has fed the watchdog twice.
    let seen = scene.strike(Work::Fail { fatal, how }, 250 * SOON, Deed::Nothing)?;
    scene.go_into_program("kernel", KERNEL_IPC)?;
    scene.system.stop_at(main, true)?;
    scene
        .system
        .machine
        .qmp
        .execute("system_reset", Value::Null)?;
    scene.system.go_to(Stop::At(main))?;
    scene.system.stop_at(main, false)?;
    let (register, value) = scene.system.board.reset_reason;
    scene.system.debugger.set_word(register, value)?;

    let crashes = scene.recovers(&[failure("kernel")], seen.accepted)?;
    let crash = crashes.first().context("there is no crash")?;
    let segment = |kind: &str| {
        let segments = crash["segments"].as_array()?;
        segments.iter().find(|segment| segment["kind"] == kind)
    };
    let text = segment("epitaph").map(|epitaph| epitaph["text"].to_string());
    ensure!(
        text.as_ref().is_some_and(|text| text
            .contains("the hardware watchdog has reset the system; task `fatal` ran last, at 0x")),
        "the crash says {text:?}: {crash:#}"
    );
    ensure!(
        crash["boot"] == 1 && crash["time_ms"].as_u64() > Some(99) && crash["image_id"].is_string(),
        "the crash is not that of the boot before: {crash:#}"
    );
    let tasks = segment("tasks").and_then(|segment| segment["tasks"].as_array());
    let tasks = tasks.with_context(|| format!("the crash lists no tasks: {crash:#}"))?;
    let current: Vec<_> = tasks
        .iter()
        .enumerate()
        .filter(|(_, task)| task["current"] == true)
        .map(|(index, _)| index)
        .collect();
    ensure!(
        current == [task::FATAL as usize] && tasks.len() > task::IDLE as usize,
        "the crash lists these tasks: {tasks:#?}"
    );
    let printed = scene
        .rig
        .tool
        .text(["boots".as_ref(), scene.card.as_os_str()])?;
    ensure!(
        printed.matches("watchdog").count() == 1 && !printed.contains("reset from outside"),
        "the boots are\n{printed}"
    );
    Ok(Cases::one())
}

/// The recorder begins again in the same boot, without a crash: before the card is known, when the
/// boot record is in RAM, and when it is durable. There is one boot record.
fn recorder_restarted(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    let main = scene.system.symbols.address("crashlog", "main")?;
    scene.system.go_to(Stop::Start)?;
    scene.system.stop_at(main, true)?;
    scene.system.go_to(Stop::At(main))?;
    let [.., stack, _, _] = scene.system.debugger.registers()?;
    scene.system.stop_at(main, false)?;
    for place in [MOUNT, WRITE] {
        scene.go_into(place)?;
        scene.system.debugger.set_register(13, stack)?;
        scene.system.debugger.set_register(15, main)?;
        if place == WRITE {
            scene.system.go_to(Stop::Done)?;
        }
        scene.system.go_to(Stop::Ready)?;
        if place == MOUNT {
            scene.system.work(Work::Append(12), 0, Deed::Nothing)?;
        }
    }
    let seen = scene.system.seen()?;
    ensure!(seen.error == 0, "the client had an error: {seen:?}");
    scene.has(&[], 0)?;
    let log = log(rig, &scene.card, 1, &[&rig.image.archive])?;
    check(&log, "saboteur", &rig.image.archive)?;
    Ok(Cases::one())
}

/// A crash before the recorder has found the log on the card: the boot record is in the log tail of
/// the emergency.
fn crash_early(rig: &Rig) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    scene.system.go_to(Stop::Start)?;
    scene.go_into(MOUNT)?;
    scene.derail()?;
    // The boot record is accepted, and nothing else.
    scene.recovers(&[Expected::panic("crashlog")], 1)?;
    let log = log(rig, &scene.card, 1, &[&rig.image.archive])?;
    ensure!(log.len() == 1, "the first boot has the log {log:#?}");
    check(&log, "saboteur", &rig.image.archive)?;
    Ok(Cases::one())
}

fn two_firmwares(rig: &Rig, demo: &Image) -> Result<Cases> {
    let mut scene = Scene::with_card_of(rig, "64M")?;
    // Two boots of the first, of which the second follows a crash.
    scene.begin()?;
    let seen = scene.strike_idle()?;
    let expected = [Expected::panic("saboteur")];
    scene.recovers(&expected, seen.accepted)?;
    let card = scene.card.clone();
    drop(scene);
    let first = &rig.image.archive;
    for boot in [1, 2] {
        let log = log(rig, &card, boot, &[first, &demo.archive])?;
        check(&log, "saboteur", first)?;
        ensure!(
            log.iter().skip(1).all(|record| record["task"] == "load"),
            "boot {boot} has other tasks: {log:#?}"
        );
    }

    let config = Config::new(demo, Some(&card));
    let mut machine = Machine::start(&rig.qemu, &config, &rig.artefacts)?;
    machine.run()?;
    let logged_by = |log: &[Value], task: &str| log.iter().any(|record| record["task"] == task);
    let deadline = Instant::now() + LIMIT;
    let log_of_demo = loop {
        let log = log(rig, &card, 3, &[first, &demo.archive])?;
        if logged_by(&log, "sensor") {
            break log;
        }
        ensure!(
            Instant::now() < deadline,
            "after {LIMIT:?} the log of the third boot is {log:#?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    machine.quit()?;
    check(&log_of_demo, "crashlog-demo", &demo.archive)?;

    // With the other archive alone there are numbers, and a line that says why.
    let wrong = run(rig, &card, 3, &[first])?;
    ensure!(
        records(&wrong.0)?
            .iter()
            .all(|record| record["task"].is_null()),
        "names of another build: {}",
        wrong.0
    );
    ensure!(
        wrong.1.lines().count() == 1 && wrong.1.contains("boot 3 is of image"),
        "the tool said `{}`",
        wrong.1
    );
    Ok(Cases::one())
}

/// Checks that the log of a boot begins with its only boot record, and that this names the build as
/// the archive does.
fn check(log: &[Value], app: &str, archive: &Path) -> Result<()> {
    let is_boot = |record: &&Value| record["stream"] == "boot";
    let first = log.first().context("the boot has no log")?;
    ensure!(
        is_boot(&first) && first["sequence"] == 1 && log.iter().filter(is_boot).count() == 1,
        "the first record alone must be the boot record: {log:#?}"
    );
    let mut zip = zip::ZipArchive::new(File::open(archive)?)?;
    let revision = std::io::read_to_string(zip.by_name("git-rev")?)?;
    let build = &first["build"];
    ensure!(
        build["app"] == app
            && build["image"] == "default"
            && build["board"] == "ast2600-evb"
            && build["commit"].as_str().unwrap_or("unknown") == revision
            && build["image_id"].is_string()
            && first["task"] == "crashlog",
        "the boot record of {app}, {revision}, is {first:#}"
    );
    Ok(())
}

/// The log of one boot, of which the tool must find the archive.
fn log(rig: &Rig, card: &Path, boot: u32, archives: &[&Path]) -> Result<Vec<Value>> {
    let (printed, said) = run(rig, card, boot, archives)?;
    ensure!(said.is_empty(), "the tool said `{said}`");
    records(&printed)
}

fn records(printed: &str) -> Result<Vec<Value>> {
    let record = |line| serde_json::from_str(line).context("the host tool printed no JSON");
    printed.lines().map(record).collect()
}

/// What `crashlog log` prints of one boot, and what it says on standard error.
fn run(rig: &Rig, card: &Path, boot: u32, archives: &[&Path]) -> Result<(String, String)> {
    let boot = boot.to_string();
    let mut arguments = ["log", "--json", "--boot", &boot].map(OsStr::new).to_vec();
    for archive in archives {
        arguments.extend([OsStr::new("--archive"), archive.as_os_str()]);
    }
    arguments.push(card.as_os_str());
    let output = rig.tool.run(arguments)?;
    let [printed, said] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(output.status.success(), "the host tool failed: {said}");
    Ok((printed, said))
}
