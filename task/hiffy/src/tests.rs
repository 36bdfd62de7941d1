//! The function that programs can call in a test image: run a case.
//!
//! The task in slot `suite` is restarted, as the case before may have left it faulted, and asked to
//! run the case; it replies before it does. The task in slot
//! `runner` learns how the case ends, by a message of the suite or by its fault, and is polled
//! until it has.
//!
//! Operations and their numbers are those of Hubris' test suite.

use hif::{Failure, Fault, Function};
use userlib::{hl, kipc, sys_send, task_slot};

task_slot!(SUITE, suite);
task_slot!(RUNNER, runner);

/// Operation of the suite: run the case with this number (a word).
const RUN_CASE: u16 = 3;
/// Operation of the runner: returns how the case has ended (a word).
const TEST_RESULT: u16 = 0xffff;
/// The runner's reply while the case has not ended.
const NOT_DONE: u32 = 3;
/// How often the runner is polled, and the interval, in milliseconds.
const POLLS: u32 = 1_000;
const INTERVAL: u64 = 10;

/// Names, arguments and errors of the functions, in the order of [`FUNCTIONS`]. Only its type is
/// used, by debuggers.
#[allow(dead_code, reason = "read through DWARF")]
pub enum Functions {
    /// The number of a case. The result is a word: 0 if the case failed, 1 if it passed.
    RunTest(usize, u32),
}

/// The functions.
pub static FUNCTIONS: [Function; 1] = [run_test];

fn run_test(stack: &[Option<u32>], _: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let case = match stack.last() {
        None => return Err(Failure::Fault(Fault::MissingParameters)),
        Some(case) => case.ok_or(Failure::Fault(Fault::EmptyParameter(0)))?,
    };
    kipc::reinit_task(SUITE.get_task_id().index(), true);
    let suite = SUITE.get_task_id();
    match sys_send(suite, RUN_CASE, &case.to_le_bytes(), &mut [], &[]).0 {
        0 => {}
        code => return Err(Failure::FunctionError(code)),
    }
    let mut result = [0; 4];
    for _ in 0..POLLS {
        hl::sleep_for(INTERVAL);
        let runner = RUNNER.get_task_id();
        match sys_send(runner, TEST_RESULT, &[], &mut result, &[]) {
            (0, 4) if u32::from_le_bytes(result) == NOT_DONE => {}
            (0, 4) => {
                *out.first_chunk_mut()
                    .ok_or(Failure::Fault(Fault::AccessOutOfBounds))? = result;
                return Ok(result.len());
            }
            (code, _) => return Err(Failure::FunctionError(code)),
        }
    }
    Err(Failure::FunctionError(NOT_DONE))
}
