//! Leases: section 2.7.

use super::{FOREIGN, Machine, Next, access, lease_count};
use crate::program::{Bad, Kind, Op};
use crate::{BUFFER, sum};
use userlib::{DEFECT, TaskId, UsageError};

impl Machine {
    /// 2.7: a BORROW call.
    pub(super) fn borrow(&mut self, task: usize, id: TaskId, op: Op, sent: &[u8]) -> Option<Next> {
        let info = op.kind == Kind::BorrowInfo;
        let buffer = vec![0xee; usize::from(op.len)];
        // The logged result. Only a read has the checksum of the buffer.
        let result = |code: u32, rest: [u32; 2], buffer: &[u8]| match op.kind {
            Kind::BorrowInfo if code == 0 => vec![0, rest[0], rest[1]],
            Kind::BorrowInfo => vec![code],
            Kind::BorrowRead => vec![code, rest[0], sum(buffer)],
            _ => vec![code, rest[0]],
        };
        let defect = result(DEFECT, [0, 0], &buffer);
        if !info && op.bad == Bad::Malformed {
            return self.fault_current(task, UsageError::InvalidSlice);
        }
        let lender = match self.lookup(id) {
            Err(None) => return self.fault_current(task, UsageError::TaskOutOfRange),
            Err(Some(code)) => return self.done(task, &result(code, [0, 0], &buffer)),
            Ok(lender) if self.waits_for(lender, task) => lender,
            Ok(_) => return self.done(task, &defect),
        };
        let Some(call) = self.tasks[lender].call.clone() else {
            panic!("a lender without a call")
        };
        let (index, offset) = (u32::from(op.value), usize::from(op.other));
        if index >= lease_count(call.op) {
            return self.fault_current(task, UsageError::LeaseOutOfRange);
        }
        // The first lease may be read, the second read and written.
        let attributes = if index == 0 { 1 } else { 3 };
        if info {
            return self.done(task, &[0, attributes, BUFFER as u32]);
        }
        let Some(rest) = BUFFER.checked_sub(offset) else {
            return self.fault_current(task, UsageError::OffsetOutOfRange);
        };
        if op.kind == Kind::BorrowWrite && attributes & 2 == 0 {
            return self.done(task, &defect);
        }
        let count = rest.min(usize::from(op.len));
        if count != 0 {
            let lent_foreign = call.op.value == 3 && index == 1;
            let mut woken = false;
            if lent_foreign {
                woken = self.fault(lender, access(FOREIGN + offset as u32));
            }
            if op.bad == Bad::Foreign {
                return self.fault_current(task, access(FOREIGN));
            }
            if lent_foreign {
                self.tasks[task].result = Some(defect);
                return self.if_woken(woken, task);
            }
        }
        let mut buffer = buffer;
        let lease = index as usize;
        if op.kind == Kind::BorrowRead {
            buffer[..count].copy_from_slice(&call.leases[lease][offset..offset + count]);
        } else if let Some(call) = &mut self.tasks[lender].call {
            call.leases[lease][offset..offset + count].copy_from_slice(&sent[..count]);
        }
        self.done(task, &result(0, [count as u32, 0], &buffer))
    }
}
