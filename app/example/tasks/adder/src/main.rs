//! A server that adds numbers, up to a limit from app.toml.

#![no_std]
#![no_main]

use adder_api::AdderError;
use idol_runtime::{NotificationHandler, RequestError};
use ringbuf::{counted_ringbuf, ringbuf_entry};
use userlib::{NotificationBits, RecvMessage};

task_config::task_config! {
    limit: u32,
}

#[derive(Copy, Clone, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Sum(u32),
    TooLarge {
        left: u32,
        right: u32,
    },
}

counted_ringbuf!(Trace, 8, Trace::None);

struct Server;

impl InOrderAdderImpl for Server {
    fn add(
        &mut self,
        _: &RecvMessage,
        left: u32,
        right: u32,
    ) -> Result<u32, RequestError<AdderError>> {
        match left.checked_add(right) {
            Some(sum) if sum <= TASK_CONFIG.limit => {
                ringbuf_entry!(Trace::Sum(sum));
                Ok(sum)
            }
            _ => {
                ringbuf_entry!(Trace::TooLarge { left, right });
                Err(AdderError::TooLarge.into())
            }
        }
    }
}

impl NotificationHandler for Server {
    fn current_notification_mask(&self) -> u32 {
        0
    }

    fn handle_notification(&mut self, _: NotificationBits) {}
}

#[unsafe(export_name = "main")]
fn main() -> ! {
    let mut buffer = [0; INCOMING_SIZE];
    loop {
        idol_runtime::dispatch(&mut buffer, &mut Server);
    }
}

include!(concat!(env!("OUT_DIR"), "/server_stub.rs"));
