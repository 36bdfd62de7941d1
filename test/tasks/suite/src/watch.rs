//! Kernel IPC by which the supervisor finds tasks that hang, or are not alive: section 4.

use crate::support::{brought, call_back, first, myself, supervisor};
use crate::{Case, RUNNER};
use test_api::runner;
use userlib::{hl, sys_recv_open, sys_reply};

pub const CASES: &[Case] = &[
    ("s4_kipc272_a_client_runs_while_its_server_does_ours", sent),
    ("s4_kipc274_who_comes_back_to_its_receive_ours", comes_back),
];

/// A task that has got its reply and has not run since ran two ticks ago at the latest: only the
/// server ran meanwhile.
fn sent() {
    // No tick interrupts this task, so that a mark alone says that it has run.
    hl::sleep_for(20);
    call_back(first(), RUNNER.get_task_id(), runner::SUITE_RAN, 4);
    assert_eq!(brought(first()), (0, 4, 2));
}

fn comes_back() {
    let index = first().index() as u32;
    let returned = || supervisor(runner::TAKE_RETURN, [index])[0];
    assert_eq!((returned(), returned()), (1, 1), "it waits");
    call_back(first(), myself(), 0x55, 0);
    assert_eq!(returned(), 1, "it has taken a message since");
    assert_eq!((returned(), returned()), (0, 0), "it sends");
    let caller = sys_recv_open(&mut [0; 4], 0).sender;
    sys_reply(caller, 0, &[]);
    assert_eq!(caller, first());
    // A reply switches to nobody.
    hl::sleep_for(1);
    assert_eq!(returned(), 1, "it has come back");
}
