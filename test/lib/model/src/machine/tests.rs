use super::*;
use std::collections::BTreeMap;

/// The seeds of each run reach every rule often, so that a comparison is meaningful.
#[test]
fn every_outcome_is_reached_often() {
    let mut seen = BTreeMap::<String, u32>::new();
    let mut see = |what: String| *seen.entry(what).or_default() += 1;
    let before = [1, 2, 3, 4].map(TaskId);
    for seed in 0..2_000 {
        let prediction = predict(seed, 0, before);
        for (task, operation, values) in &prediction.log {
            let Some(op) = program(seed, *task as usize - 1, 0)
                .get(*operation as usize)
                .copied()
            else {
                see(format!("life {}", values[0]));
                continue;
            };
            let code = match values.first() {
                Some(0xffff_ffff) => "left out",
                Some(code) if *code >= 0xffff_ff00 => "dead",
                Some(0) | None => "well",
                Some(_) => "code",
            };
            see(format!("{:?} {code}", op.kind));
            if values.len() == 7 {
                let cut = values[3] > u32::from(op.len);
                see(format!("message {}", values[1] != 0xffff));
                see(format!("cut {cut}"));
            }
        }
        for fault in &prediction.faults {
            let text = format!("{fault:?}");
            let end = text.find(['{', ',']).unwrap_or(text.len());
            let name = match fault {
                FaultInfo::Injected(_) => "Injected",
                FaultInfo::FromServer(..) => "FromServer",
                _ => text[..end].trim(),
            };
            see(format!("fault {name}"));
        }
    }
    let often = [
        "Send well",
        "Send code",
        "Send dead",
        "Recv well",
        "RecvFrom well",
        "RecvFrom dead",
        "message true",
        "message false",
        "cut true",
        "Reply well",
        "Reply left out",
        "Post well",
        "Post dead",
        "BorrowRead well",
        "BorrowRead code",
        "BorrowWrite well",
        "BorrowInfo well",
        "Restart well",
        "Fault well",
        "Status well",
        "FindFaulted well",
        "GetTimer well",
        "Refresh code",
        "life 2",
        "life 3",
        "fault Injected",
        "fault FromServer",
        "fault MemoryAccess",
        "fault Panic",
        "fault SyscallUsage(InvalidSlice)",
        "fault SyscallUsage(TaskOutOfRange)",
        "fault SyscallUsage(LeaseOutOfRange)",
        "fault SyscallUsage(OffsetOutOfRange)",
        "fault SyscallUsage(ReplyTooBig)",
        "fault SyscallUsage(BadReplyFaultReason)",
        "fault SyscallUsage(BadSyscallNumber)",
        "fault SyscallUsage(IllegalTask)",
    ];
    for what in often {
        let count = seen.get(what).copied().unwrap_or(0);
        assert!(count >= 5, "{what}: {count} times; {seen:#?}");
    }
}
