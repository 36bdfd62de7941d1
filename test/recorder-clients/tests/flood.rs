//! Clients that append so fast that the recorder never rests.

use recorder_clients::clients::{FIRST_CLIENT, Supervisor, append, check_reply, end_run, op, run};
use recorder_clients::kernel::{Ended, Request, Script, World};

/// How many clients append.
const CLIENTS: usize = 4;

/// As long as the boot lasts, in milliseconds.
const BOOT: u64 = 300;

struct Flood {
    supervisor: Supervisor,
    acts: u32,
    /// Records that were refused: the ring was full of what was not written yet.
    refused: u32,
}

impl Script for Flood {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        self.acts += 1;
        for (_, request, how) in &ended {
            check_reply(request, how);
            if let (op::APPEND, Ended::Reply(1.., _)) = (request.operation, how) {
                self.refused += 1;
            }
        }
        if world.now() >= BOOT {
            assert!(self.refused > 100, "{} refused", self.refused);
            assert_eq!(self.supervisor.starts(), 0);
            end_run();
        }
        if self.acts.is_multiple_of(8) {
            for client in FIRST_CLIENT..FIRST_CLIENT + CLIENTS {
                if world.is_idle(client) {
                    world.send(client, append(vec![7; 200]));
                }
            }
        }
    }
}

/// After boots that did not come through crashes are not written, and log records are dropped; so a
/// recorder that has written what was left has come through, whatever its clients do. REQ: X7 (in
/// part)
#[test]
fn a_start_comes_through_while_clients_never_stop() {
    let content = run(|supervisor| {
        Box::new(Flood {
            supervisor,
            acts: 0,
            refused: 0,
        })
    });
    assert!(content.log.len() > 100, "{} records", content.log.len());
}
