//! A client changes its lease while a server uses it.

use idol_runtime::{Leased, R, W};
use std::cell::Cell;
use std::rc::Rc;
use userlib::host::{HostKernel, install};
use userlib::{BorrowInfo, LeaseAttributes, RecvMessage, TaskId, TimerState};

/// A client with one lease, and the kernel: it faults the server by a panic, and the client by
/// letting the call fail.
struct Client {
    base: Cell<u32>,
    length: Cell<u32>,
}

impl Client {
    fn access(&self, offset: usize, count: usize) -> (u32, usize) {
        let (base, offset) = (self.base.get(), offset as u32);
        let rest = self.length.get().checked_sub(offset);
        let rest = rest.expect("the server is faulted: beyond the lease");
        let start = base.checked_add(offset);
        let start = start.expect("the server is faulted: the address overflows");
        match start.checked_add(rest) {
            Some(_) => (0, count.min(rest as usize)),
            None => (userlib::DEFECT, 0),
        }
    }
}

impl HostKernel for Client {
    fn borrow_info(&self, _: TaskId, _: usize) -> Option<BorrowInfo> {
        Some(BorrowInfo {
            attributes: LeaseAttributes::READ | LeaseAttributes::WRITE,
            len: self.length.get() as usize,
        })
    }

    fn borrow_read(&self, _: TaskId, _: usize, offset: usize, dest: &mut [u8]) -> (u32, usize) {
        self.access(offset, dest.len())
    }

    fn borrow_write(&self, _: TaskId, _: usize, offset: usize, src: &[u8]) -> (u32, usize) {
        self.access(offset, src.len())
    }

    fn recv(&self, _: &mut [u8], _: u32) -> RecvMessage {
        unimplemented!()
    }

    fn reply(&self, _: TaskId, _: u32, _: &[u8]) {
        unimplemented!()
    }

    fn reply_fault(&self, _: TaskId, _: u32) {
        unimplemented!()
    }

    fn timer(&self) -> TimerState {
        unimplemented!()
    }

    fn set_timer(&self, _: Option<u64>, _: u32) {
        unimplemented!()
    }

    fn irq_control(&self, _: u32, _: u32) {
        unimplemented!()
    }

    fn kernel_ipc(&self, _: u16, _: &[u8], _: &mut [u8]) -> (u32, usize) {
        unimplemented!()
    }
}

/// REQ: C3 (in part)
#[test]
fn a_changed_lease_does_not_fault_the_server() {
    let client = Rc::new(Client {
        base: Cell::new(0x8000_0000),
        length: Cell::new(512),
    });
    install(client.clone());
    let from = Leased::<R, [u8]>::read_only_slice(TaskId(3), 0, None).expect("readable");
    let to = Leased::<W, [u8]>::write_only_slice(TaskId(3), 0, None).expect("writable");
    let mut piece = [0; 256];
    assert_eq!(from.read_range(256..512, &mut piece), Ok(()));
    assert_eq!(to.write_range(256..512, &piece), Ok(()));
    // Shorter than the offset, shorter than the access, at the end of the address space.
    for (base, length) in [(0x8000_0000, 255), (0x8000_0000, 300), (0xffff_ff80, 512)] {
        client.base.set(base);
        client.length.set(length);
        assert_eq!(from.read_range(256..512, &mut piece), Err(()));
        assert_eq!(to.write_range(256..512, &piece), Err(()));
        assert_eq!(from.read_at(511), None);
        assert_eq!(to.write_at(511, 0), Err(()));
    }
}
