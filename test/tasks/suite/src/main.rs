//! The cases of the kernel's test image.
//!
//! A case is a function that panics if the kernel breaks a rule of its interface. The numbers of
//! sections, in comments and in the names of cases, are those of test/tasks/suite/README.md. Cases
//! run one at a time, each with restarted assists; [`test_api`] describes the tasks.
//!
//! `unsafe` is used where a case checks registers, and for addresses that are passed to an assist.

#![no_std]
#![no_main]

mod encodings;
mod exchange;
mod faults;
mod isolation;
mod kipc;
mod leases;
mod lives;
mod messages;
mod notes;
mod overlap;
mod saved;
mod saved_list;
mod set_aside;
mod slices;
mod support;
mod watch;

use test_api::runner;
use userlib::{sys_recv_notification, sys_send, task_slot};

task_slot!(RUNNER, runner);
task_slot!(ASSIST, assist);
task_slot!(SECOND, second);
task_slot!(THIRD, third);
task_slot!(SUITE, suite);

/// A case and its name.
type Case = (&'static str, fn());

#[unsafe(export_name = "main")]
fn main() -> ! {
    let groups: [&[Case]; 15] = [
        messages::CASES,
        leases::CASES,
        notes::CASES,
        kipc::CASES,
        saved::CASES,
        saved_list::CASES,
        set_aside::CASES,
        watch::CASES,
        faults::CASES,
        isolation::CASES,
        slices::CASES,
        overlap::CASES,
        exchange::CASES,
        lives::CASES,
        encodings::CASES,
    ];
    loop {
        let [next, ..] = support::supervisor(runner::NEXT, []);
        match groups.iter().copied().flatten().nth(next as usize) {
            Some((name, case)) => {
                sys_send(
                    RUNNER.get_task_id(),
                    runner::BEGIN,
                    name.as_bytes(),
                    &mut [],
                    &[],
                );
                case();
                support::supervisor(runner::PASSED, []);
            }
            None => {
                support::supervisor(runner::FINISHED, []);
                sys_recv_notification(0);
            }
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/notifications.rs"));
