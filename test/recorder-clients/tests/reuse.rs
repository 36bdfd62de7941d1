//! A client that is restarted 64 times while the recorder works on its request: its id is the same
//! again, and its next request is another one.

use std::cell::Cell;
use std::rc::Rc;

use recorder_clients::clients::{
    FIRST_CLIENT, Supervisor, append, check_reply, end_run, op, request, run, to_write,
};
use recorder_clients::kernel::{Ended, Request, Script, World};

/// The client whose id comes back.
const CLIENT: usize = FIRST_CLIENT + 2;
/// Another client. It comes before: what it sends in the same step is received first.
const OTHER: usize = FIRST_CLIENT;

/// One attack: `first` is in flight for `acts` steps, then `second` follows.
struct Reuse {
    supervisor: Supervisor,
    first: Request,
    second: Request,
    acts: u32,
    step: u32,
    waited: u32,
    /// How many attacks were made.
    attacks: Rc<Cell<u32>>,
}

impl Script for Reuse {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        for (_, request, how) in &ended {
            check_reply(request, how);
            if let (op::APPEND, Ended::Reply(0, sequence)) = (request.operation, how) {
                world.note_accepted(u32::from_le_bytes(sequence[..].try_into().unwrap()));
            }
        }
        let done = |task: usize| ended.iter().any(|(of, ..)| *of == task);
        match self.step {
            0 => {
                self.supervisor.report_oops(world, 5, 100, 0x4000);
                world.send(OTHER, append(vec![7; 100]));
            }
            1 if done(OTHER) => world.send(OTHER, request(op::FLUSH, &[], vec![])),
            // The oops is written as well, before anything that needs the card.
            2 if done(OTHER) => world.send(OTHER, request(op::CRASH_INFO, &[0], vec![])),
            // For `flush`.
            3 if done(OTHER) => {
                world.send(OTHER, append(vec![9; 100]));
                world.send(CLIENT, self.first.clone());
            }
            4 if done(CLIENT) => end_run(),
            4 if world.is_waiting(CLIENT) => {
                self.step += 1;
                return self.act(world, Vec::new());
            }
            5 if done(CLIENT) => end_run(),
            5 if self.acts > 0 => {
                self.acts -= 1;
                return;
            }
            5 => {
                self.attacks.set(self.attacks.get() + 1);
                world.restart(CLIENT, 64);
                // So that `flush` has to wait.
                if world.is_idle(OTHER) {
                    world.send(OTHER, append(vec![8; 100]));
                }
                world.send(CLIENT, self.second.clone());
            }
            6 if done(CLIENT) => end_run(),
            7.. => panic!("there is no such step"),
            _ => {
                self.waited += 1;
                assert!(self.waited < 100_000, "no reply in step {}", self.step);
                return;
            }
        }
        self.step += 1;
    }
}

/// Every operation that waits for the card, and after it every one that makes another reply or
/// lends other memory, at each moment at which the recorder waits. REQ: X7 (in part: the recorder
/// is not faulted by a client whose id comes back)
#[test]
fn a_request_in_flight_is_void_when_its_client_comes_back_with_another() {
    let firsts = [
        request(op::READ_PAGE, &[0], vec![to_write(512)]),
        request(op::CRASH_INFO, &[0], vec![]),
        request(op::READ_CRASH, &[1, 0, 0], vec![to_write(512)]),
        request(op::FLUSH, &[], vec![]),
    ];
    let seconds = [
        request(op::FLUSH, &[], vec![]),
        request(op::READ_PAGE, &[0], vec![to_write(4)]),
        request(op::READ_PAGE, &[1000], vec![to_write(512)]),
        request(op::CRASH_INFO, &[99], vec![]),
    ];
    let attacks = Rc::new(Cell::new(0));
    for first in &firsts {
        for second in &seconds {
            for acts in 0..24 {
                let content = run(|supervisor| {
                    Box::new(Reuse {
                        supervisor,
                        first: first.clone(),
                        second: second.clone(),
                        acts,
                        step: 0,
                        waited: 0,
                        attacks: attacks.clone(),
                    })
                });
                // The other client's records are there: it has called `flush` after the first.
                assert!(content.log.values().any(|payload| *payload == [7; 100]));
            }
        }
    }
    assert!(attacks.get() > 100, "{} attacks", attacks.get());
}
