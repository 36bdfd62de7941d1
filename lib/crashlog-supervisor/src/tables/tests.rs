use super::*;

fn app() -> App {
    let task = |name: &str, priority, notifications: &[&str]| AppTask {
        name: name.to_string(),
        priority,
        notifications: notifications.iter().map(ToString::to_string).collect(),
        stack: 2_048,
    };
    App {
        file: "app.toml".to_string(),
        tasks: vec![
            task("jefe", 0, &["fault", "timer"]),
            task("crashlog", 1, &["sdhci-irq", "timer", "oops"]),
            task("worker", 6, &["timer"]),
            task("idle", 9, &[]),
        ],
    }
}

fn crash() -> CrashTable {
    CrashTable {
        recorder: "crashlog".to_string(),
        notification: "oops".to_string(),
        disposition: BTreeMap::from([("worker".to_string(), "reset".to_string())]),
        record_oops: true,
        budget_ms: 2_000,
        watchdog_ms: 0,
        snapshot: CrashTable::snapshot(),
        above_recorder: Vec::new(),
        hold_after_restarts: CrashTable::hold_after_restarts(),
        hold_after_resets: CrashTable::hold_after_resets(),
        loop_window_ms: CrashTable::loop_window_ms(),
        healthy_ms: CrashTable::healthy_ms(),
        backoff_ms: CrashTable::backoff_ms(),
        backoff_max_ms: CrashTable::backoff_max_ms(),
        hang_ms: HangTable::default(),
        wait_ms: BTreeMap::new(),
        alive_within_ms: BTreeMap::new(),
        regions: RegionLimits::default(),
    }
}

fn error_of(change: impl FnOnce(&mut CrashTable, &mut App)) -> String {
    let (mut crash, mut app) = (crash(), app());
    change(&mut crash, &mut app);
    crash.check(&app).unwrap_err().to_string()
}

#[test]
fn a_valid_table_becomes_indices() {
    let tables = crash().check(&app()).unwrap();
    assert_eq!(tables.recorder, 1);
    assert_eq!(tables.notification, 4);
    use Disposition::{Reset, Restart};
    let dispositions: Vec<_> = tables.tasks.iter().map(|task| task.disposition).collect();
    assert_eq!(dispositions, [Restart, Reset, Reset, Restart]);
    let rust = tables.to_rust();
    assert!(rust.contains("recorder: 1,") && rust.contains("notification: 0x4,"));
    assert_eq!(rust.matches("Disposition::Reset").count(), 2);
    assert!(rust.contains("snapshot: crashlog_supervisor::SnapshotScope::System,"));
    assert!(rust.contains("by_priority: &[0, 1, 2, 3],"));
}

#[test]
fn the_recorder_has_no_disposition_of_its_own() {
    for disposition in ["restart", "reset"] {
        let key =
            format!("app.toml: tasks.jefe.config.crash.disposition.crashlog = {disposition:?}");
        let error = error_of(|crash, _| {
            crash
                .disposition
                .insert("crashlog".to_string(), disposition.to_string());
        });
        let rule = "is the recorder, whose fault always resets the system";
        assert!(error.starts_with(&format!("{key}: {rule}")), "{error}");
    }
}

#[test]
fn memory_is_saved_by_priority() {
    let (mut crash, mut app) = (crash(), app());
    app.tasks[2].priority = 10;
    crash.snapshot = "task".to_string();
    let tables = crash.check(&app).unwrap();
    assert_eq!(tables.by_priority, [0, 1, 3, 2]);
    assert_eq!(tables.snapshot, SnapshotScope::Task);
    crash.snapshot = "none".to_string();
    assert_eq!(crash.check(&app).unwrap().snapshot, SnapshotScope::None);
}

#[test]
fn only_a_task_that_is_listed_may_be_above_the_recorder() {
    let mut app = app();
    app.tasks[2].priority = 1;
    assert!(crash().check(&app).is_err());
    let mut crash = crash();
    crash.above_recorder = vec!["idle".to_string()];
    assert!(crash.check(&app).is_err());
    crash.above_recorder = vec!["worker".to_string()];
    assert!(crash.check(&app).is_ok());
}

#[test]
fn errors_name_file_key_value_and_rule() {
    assert_eq!(
        error_of(|crash, _| crash.recorder = "crashlogs".to_string()),
        r#"app.toml: tasks.jefe.config.crash.recorder = "crashlogs": no such task; did you mean "crashlog"?"#
    );
    assert_eq!(
        error_of(|crash, _| crash.notification = "ring".to_string()),
        "app.toml: tasks.jefe.config.crash.notification = \"ring\": no such notification of `crashlog`; there are sdhci-irq, timer, oops"
    );
    assert_eq!(
        error_of(|crash, _| {
            crash.disposition = BTreeMap::from([("wroker".to_string(), "reset".to_string())]);
        }),
        r#"app.toml: tasks.jefe.config.crash.disposition.wroker = "reset": no such task; did you mean "worker"?"#
    );
    assert_eq!(
        error_of(|crash, _| {
            crash
                .disposition
                .insert("idle".to_string(), "resett".to_string());
        }),
        r#"app.toml: tasks.jefe.config.crash.disposition.idle = "resett": no such disposition; did you mean "reset"?"#
    );
    assert_eq!(
        error_of(|crash, _| crash.budget_ms = 99),
        "app.toml: tasks.jefe.config.crash.budget-ms = 99: must be 100 to 60000"
    );
    assert_eq!(
        error_of(|crash, _| crash.snapshot = "sytem".to_string()),
        r#"app.toml: tasks.jefe.config.crash.snapshot = "sytem": no such scope; did you mean "system"?"#
    );
    assert_eq!(
        error_of(|crash, _| crash.snapshot = "everything".to_string()),
        r#"app.toml: tasks.jefe.config.crash.snapshot = "everything": no such scope; there are system, task, none"#
    );
    assert_eq!(
        error_of(|crash, _| crash.healthy_ms = 86_400_001),
        "app.toml: tasks.jefe.config.crash.healthy-ms = 86400001: must be 0 to 86400000"
    );
}

#[test]
fn the_supervisor_is_neither_recorder_nor_restartable() {
    assert!(error_of(|crash, _| crash.recorder = "jefe".to_string()).contains("its own recorder"));
    assert!(
        error_of(|crash, _| {
            crash
                .disposition
                .insert("jefe".to_string(), "restart".to_string());
        })
        .contains("the kernel handles")
    );
}

#[test]
fn only_the_supervisor_may_be_more_important_than_the_recorder() {
    assert!(
        error_of(|_, app| app.tasks[2].priority = 1)
            .contains("every other task but the supervisor, and `worker` has 1")
    );
}

#[test]
fn distance_counts_insertions_deletions_and_substitutions() {
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("worker", "wroker"), 2);
    assert_eq!(distance("kitten", "sitting"), 3);
}

/// REQ: D2 (in part)
#[test]
fn limits_of_regions_have_ranges() {
    let error = |change: fn(&mut RegionLimits)| error_of(|crash, _| change(&mut crash.regions));
    let key = "app.toml: tasks.jefe.config.crash.regions";
    assert_eq!(
        error(|limits| limits.total = 65),
        format!("{key}.total = 65: must be 0 to 64")
    );
    assert_eq!(
        error(|limits| limits.per_task = 17),
        format!("{key}.per-task = 17: must be 0 to 16, the latter being `total`")
    );
    assert_eq!(
        error(|limits| limits.bytes_per_task = 65_537),
        format!("{key}.bytes-per-task = 65537: must be 0 to 65536")
    );
}

fn limits(change: impl FnOnce(&mut CrashTable)) -> Vec<u32> {
    let mut crash = crash();
    change(&mut crash);
    let tables = crash.check(&app()).unwrap();
    tables.tasks.iter().map(|task| task.hang_ms).collect()
}

#[test]
fn a_task_without_a_limit_of_its_own_has_the_default() {
    assert_eq!(limits(|_| {}), [1_000, 3_000, 1_000, 1_000]);
    assert_eq!(limits(|crash| crash.hang_ms = HangTable::All(0)), [0; 4]);
    let named = BTreeMap::from([("worker".to_string(), 0), ("idle".to_string(), 200)]);
    assert_eq!(
        limits(|crash| crash.hang_ms = HangTable::ByTask(named)),
        [1_000, 3_000, 0, 200]
    );
}

#[test]
fn a_wrong_limit_is_refused() {
    let refused = |name: &str, ms| {
        error_of(|crash, _| {
            crash.hang_ms = HangTable::ByTask(BTreeMap::from([(name.to_string(), ms)]));
        })
    };
    assert_eq!(
        refused("wroker", 500),
        r#"app.toml: tasks.jefe.config.crash.hang-ms.wroker = 500: no such task; did you mean "worker"?"#
    );
    assert_eq!(
        refused("worker", 199),
        "app.toml: tasks.jefe.config.crash.hang-ms.worker = 199: must be 200 to 86400000, or 0 for no limit"
    );
    assert_eq!(
        refused("jefe", 500),
        "app.toml: tasks.jefe.config.crash.hang-ms.jefe = 500: the supervisor does not watch itself; leave it out"
    );
    assert_eq!(
        error_of(|crash, _| crash.hang_ms = HangTable::All(1)),
        "app.toml: tasks.jefe.config.crash.hang-ms = 1: must be 200 to 86400000, or 0 for no limit"
    );
}

#[test]
fn the_watchdog_outlasts_an_emergency() {
    let with = |ms| {
        let mut crash = crash();
        crash.watchdog_ms = ms;
        crash.check(&app())
    };
    for ms in [0, 2_500, 120_000] {
        assert_eq!(with(ms).unwrap().watchdog_ms, ms);
    }
    assert_eq!(
        with(2_499).unwrap_err().to_string(),
        "app.toml: tasks.jefe.config.crash.watchdog-ms = 2499: must be 2500 (budget-ms and 500) to 120000, or 0 for no watchdog"
    );
}

#[test]
fn only_tasks_that_are_named_have_a_longest_wait() {
    let with = |name: &str, ms| {
        let mut crash = crash();
        crash.wait_ms = BTreeMap::from([(name.to_string(), ms)]);
        crash.check(&app())
    };
    let tables = with("worker", 500).unwrap();
    let waits: Vec<_> = tables.tasks.iter().map(|task| task.wait_ms).collect();
    assert_eq!(waits, [0, 0, 500, 0]);
    assert_eq!(
        with("worker", 1).unwrap_err().to_string(),
        "app.toml: tasks.jefe.config.crash.wait-ms.worker = 1: must be 200 to 86400000, or 0 for no limit"
    );
}

#[test]
fn only_tasks_that_are_named_have_to_be_alive() {
    let with = |name: &str, ms| {
        let mut crash = crash();
        crash.alive_within_ms = BTreeMap::from([(name.to_string(), ms)]);
        crash.check(&app())
    };
    let tables = with("worker", 500).unwrap();
    let limits: Vec<_> = tables.tasks.iter().map(|task| task.alive_ms).collect();
    assert_eq!(limits, [0, 0, 500, 0]);
    assert!(tables.to_rust().contains("wait_ms: 0, alive_ms: 500 }"));
    let key = "app.toml: tasks.jefe.config.crash.alive-within-ms";
    for (name, ms, rule) in [
        ("wroker", 500, r#"no such task; did you mean "worker"?"#),
        (
            "jefe",
            500,
            "the supervisor does not watch itself; leave it out",
        ),
        (
            "worker",
            0,
            "must be 200 to 86400000; leave the task out for no limit",
        ),
        (
            "worker",
            86_400_001,
            "must be 200 to 86400000; leave the task out for no limit",
        ),
        (
            "idle",
            500,
            "the least important task runs when no other can; leave it out",
        ),
    ] {
        let error = with(name, ms).unwrap_err().to_string();
        assert_eq!(error, format!("{key}.{name} = {ms}: {rule}"));
    }
}
