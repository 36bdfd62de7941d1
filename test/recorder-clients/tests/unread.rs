//! Which crashes are unread: `status` says how many, and `acknowledge_crash` marks one as read.

use recorder_clients::clients::{FIRST_CLIENT, Supervisor, check_reply, end_run, op, request, run};
use recorder_clients::kernel::{Ended, Request, Script, World};
use task_crashlog_api::{CrashLogError, RecorderStatus};

const CLIENT: usize = FIRST_CLIENT;

/// Makes one request after the other, and asks for the status after each.
struct Reader {
    supervisor: Supervisor,
    /// The next requests, in reverse order, with the number of unread crashes after each; `None`:
    /// there is another occurrence of the crash first.
    plan: Vec<(Option<Request>, u32, u32)>,
    expected: Option<(u32, u32)>,
    /// Crashes on the card, and unread ones, as the last status says.
    seen: (u32, u32),
    acts: u32,
}

impl Script for Reader {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        self.acts += 1;
        assert!(
            self.acts < 20_000,
            "the status should become {:?}, and is {:?}; {} requests are left",
            self.expected,
            self.seen,
            self.plan.len()
        );
        for (_, request, how) in &ended {
            check_reply(request, how);
            match how {
                Ended::Reply(0, reply) if request.operation == op::STATUS => {
                    let status: RecorderStatus = hubpack::deserialize(reply).unwrap().0;
                    self.seen = (status.crashes, status.unread);
                    self.expected.take_if(|expected| *expected == self.seen);
                }
                Ended::Reply(0, _) => {}
                Ended::Reply(code, _) => {
                    let none = CrashLogError::NoSuchCrash as u32;
                    assert_eq!((*code, request.message[0]), (none, 9));
                }
                how => panic!("{request:?} has ended as {how:?}"),
            }
        }
        // The recorder works on the card while there is no request.
        if !world.is_idle(CLIENT) || !self.acts.is_multiple_of(16) {
            return;
        }
        // The card is not known at first, and an oops is written later: it is asked again.
        if self.expected.is_some() {
            return world.send(CLIENT, request(op::STATUS, &[], vec![]));
        }
        let Some((wanted, crashes, unread)) = self.plan.pop() else {
            end_run();
        };
        self.expected = Some((crashes, unread));
        match wanted {
            Some(request) => world.send(CLIENT, request),
            None => self
                .supervisor
                .report_oops(world, 5, self.acts.into(), 0x4000),
        }
    }
}

#[test]
fn a_crash_is_unread_until_it_is_acknowledged() {
    let acknowledge = |sequence| Some(request(op::ACKNOWLEDGE_CRASH, &[sequence], vec![]));
    let mut plan = vec![
        (None, 1, 1),
        // One more time, and listed: neither changes anything.
        (None, 1, 1),
        (Some(request(op::CRASH_INFO, &[0], vec![])), 1, 1),
        (acknowledge(9), 1, 1),
        (acknowledge(1), 1, 0),
        (acknowledge(1), 1, 0),
        // It comes again: that is a new one.
        (None, 2, 1),
        (acknowledge(2), 2, 0),
    ];
    plan.reverse();
    run(|supervisor| {
        Box::new(Reader {
            supervisor,
            plan,
            expected: None,
            seen: (0, 0),
            acts: 0,
        })
    });
}
