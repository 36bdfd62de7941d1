//! Receives fault notifications only: the workers restart each other.

#![no_std]
#![no_main]

use userlib::sys_recv_notification;

#[unsafe(export_name = "main")]
fn main() -> ! {
    loop {
        sys_recv_notification(1);
    }
}
