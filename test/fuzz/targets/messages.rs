//! Clients of the recorder: each four bytes are one step, a request of any form, a restart, a card
//! that fails or is taken out. What must hold is in `recorder_clients::random`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recorder_clients::random::{play, steps_of};

fuzz_target!(|input: &[u8]| {
    if let Err(error) = play(&steps_of(input)) {
        panic!("{error}");
    }
});
