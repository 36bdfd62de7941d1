use super::*;
use serde_json::json;

fn crash() -> Value {
    json!({
        "late": null, "log_records": 3, "registers": { "pc": 256 },
        "segments": [
            { "kind": "message", "sound": true, "length": 64, "original_length": 64, "excerpt": false },
            { "kind": "stack", "sound": true, "length": 192, "original_length": 2352, "excerpt": true },
        ],
        "emergency": {
            "phase": "write", "failure": "no failure", "controller": 1, "card": 4, "command": 13,
            "blocks_left": 0, "retries": 0, "error": 0, "pages": 1, "time_ms": 0, "repairs": [],
            "steps": ["controller reset", "card ready", "located"],
        },
    })
}

fn check(crash: &Value, sequences: &[u64], expected: &Expected<'_>, accepted: u32) -> bool {
    let listed = json!({ "repeats": 0 });
    let found = CrashEvidence {
        before: None,
        listed: &listed,
        crash,
        sequences,
    };
    found.check(expected, accepted).is_ok()
}

#[test]
fn each_thing_that_a_crash_lacks_is_found() {
    let expected = Expected::panic("saboteur");
    assert!(check(&crash(), &[1, 2, 3], &expected, 3));
    let wrong = [
        ("/late", json!("failed")),
        ("/log_records", json!(4)),
        ("/registers", json!({})),
        ("/segments/0/sound", json!(false)),
        ("/segments/0/original_length", json!(65)),
        ("/segments/1/length", json!(255)),
        ("/segments/1/excerpt", json!(false)),
        ("/emergency/phase", json!("prepare")),
        ("/emergency/failure", json!("time was up")),
        ("/emergency/steps", json!(["controller reset"])),
        ("/emergency/controller", json!(0)),
        ("/emergency/card", json!(17)),
        ("/emergency/retries", json!(null)),
        ("/emergency/error", json!(5)),
        ("/emergency/repairs", json!(null)),
        ("/emergency/time_ms", json!(null)),
    ];
    for (place, value) in wrong {
        let mut crash = crash();
        *crash.pointer_mut(place).expect(place) = value;
        assert!(!check(&crash, &[1, 2, 3], &expected, 3), "{place}");
    }
}

#[test]
fn missing_log_records_are_found() {
    let expected = Expected::panic("saboteur");
    for (sequences, accepted) in [
        (&[1, 2][..], 0),
        (&[1, 2, 4], 3),
        (&[2, 3, 4], 3),
        (&[1, 2, 3], 4),
    ] {
        assert!(!check(&crash(), sequences, &expected, accepted));
    }
}

#[test]
fn a_crash_written_in_time_is_not_late_and_a_repetition_is_counted() {
    let expected = Expected::panic("saboteur");
    assert!(!check(&crash(), &[1, 2, 3], &expected.late(), 3));
    assert!(check(&crash(), &[1, 2, 3], &expected.whenever(), 3));
    assert!(!check(&crash(), &[1, 2, 3], &expected.times(2), 3));
    let (old, new) = (json!({ "repeats": 4 }), json!({ "repeats": 5 }));
    let found = CrashEvidence {
        before: Some(&old),
        listed: &new,
        crash: &crash(),
        sequences: &[1, 2, 3],
    };
    assert!(found.check(&expected, 3).is_ok());
    assert!(found.check(&expected.times(2), 3).is_err());
}

#[test]
fn older_crashes_must_not_change_or_disappear() {
    let crashes = |tasks: &[&str]| -> Vec<Value> {
        (1..)
            .zip(tasks)
            .map(|(sequence, task)| json!({ "sequence": sequence, "task": task }))
            .collect()
    };
    let evidence = |tasks: &[&str], slots| Evidence {
        crashes: crashes(tasks),
        slots,
        log_bytes: 0,
        log: Vec::new(),
    };
    let before = evidence(&["a", "b", "c", "d", "e", "f"], 7);
    assert!(before.check_older(&before).is_ok());
    let changed = evidence(&["a", "b", "c", "d", "e", "x"], 7);
    assert!(before.check_older(&changed).is_err());
    for gone in 0..6 {
        let mut after = before.clone();
        after.crashes.remove(gone);
        after.crashes.push(json!({ "sequence": 7, "task": "g" }));
        // The first four are always kept; one of the others is removed when all slots are used.
        assert_eq!(before.check_older(&after).is_ok(), gone >= KEPT, "{gone}");
        after.slots = 16;
        let roomy = Evidence {
            slots: 16,
            ..before.clone()
        };
        assert!(roomy.check_older(&after).is_err(), "{gone}");
    }
}
