//! The one function of a test image: run a case.
//!
//! The task in slot `suite` is asked to run the case and answers before it does; the task in slot `runner` sees how it
//! ends, by the suite's word or by its fault, and is asked until it knows.
//!
//! Interface: hubris-interface section 10.6.

use hif::{Failure, Fault, Function};
use userlib::{hl, sys_send, task_slot};

task_slot!(SUITE, suite);
task_slot!(RUNNER, runner);

/// Operation of the suite: run this case (a word).
const RUN_CASE: u16 = 3;
/// Operation of the runner: how did it end (a word)?
const TEST_RESULT: u16 = 0xffff;
/// Its answer while it has not.
const NOT_DONE: u32 = 3;
/// How often it is asked, and how long to wait before each time, in milliseconds.
const QUESTIONS: u32 = 1_000;
const WAIT: u64 = 10;

/// Names, arguments and errors of the functions, in the order of [`FUNCTIONS`]. For debuggers; there is no value of it.
#[allow(dead_code, reason = "read through DWARF")]
pub enum Functions {
    /// The number of a case. The result is a word: 0 it failed, 1 it passed.
    RunTest(usize, u32),
}

/// The functions.
pub static FUNCTIONS: [Function; 1] = [run_test];

fn run_test(stack: &[Option<u32>], _: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let case = match stack.last() {
        None => return Err(Failure::Fault(Fault::MissingParameters)),
        Some(case) => case.ok_or(Failure::Fault(Fault::EmptyParameter(0)))?,
    };
    let suite = SUITE.get_task_id();
    match sys_send(suite, RUN_CASE, &case.to_le_bytes(), &mut [], &[]).0 {
        0 => {}
        code => return Err(Failure::FunctionError(code)),
    }
    let mut result = [0; 4];
    for _ in 0..QUESTIONS {
        hl::sleep_for(WAIT);
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
