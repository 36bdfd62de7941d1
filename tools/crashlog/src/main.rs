//! Makes, reads and checks the cards of the crashlog flight recorder: the program.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match crashlog::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) if problem.is_closed_pipe() => ExitCode::SUCCESS,
        Err(problem) => {
            problem.tell();
            ExitCode::from(problem.code())
        }
    }
}
