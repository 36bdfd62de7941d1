//! The functions that programs can call.
//!
//! Arguments are on the stack, the last on top. Those of the functions that send are: index of the
//! task, operation, the bytes of the message, their number, the size of the reply, the sizes of the
//! leases. The result is the reply, then the content of a lease that the server can write.

use hif::{Failure, Fault, Function};
use hubris_num_tasks::{NUM_TASKS, Task};
use userlib::{Generation, Lease, TaskId, hl, sys_refresh_task_id, sys_send};

/// Longest message, in bytes.
const MESSAGE: usize = 32;

/// Longest sleep, in milliseconds.
const SLEEP: u32 = 100;

/// The bytes of a message, each an element of the stack.
pub struct Buffer(#[allow(dead_code, reason = "debuggers show it as an array of bytes")] u8);

/// Names, arguments and errors of the functions, in the order of [`FUNCTIONS`]. Only its type is
/// used, by debuggers.
#[allow(dead_code, reason = "read through DWARF")]
pub enum Functions {
    /// How many milliseconds, 1 to 100.
    Sleep(u16, u32),
    /// Task, operation, message, reply size.
    Send((Task, u16, Buffer, usize), u32),
    /// As `Send`, and the size of a lease that the server can read: what the debugger has written
    /// to `HIFFY_DATA`.
    SendLeaseRead((Task, u16, Buffer, usize, usize), u32),
    /// As `Send`, and the sizes of a lease that the server can write and of one that it can read.
    /// The message has the one for reading first.
    SendLeaseReadWrite((Task, u16, Buffer, usize, usize, usize), u32),
    /// As `Send`, and the size of a lease that the server can write. Its content follows the reply
    /// in the result.
    SendLeaseWrite((Task, u16, Buffer, usize, usize), u32),
}

/// The functions.
pub static FUNCTIONS: [Function; 5] = [
    sleep,
    send,
    send_lease_read,
    send_lease_read_write,
    send_lease_write,
];

fn sleep(stack: &[Option<u32>], _: &[u8], _: &mut [u8]) -> Result<usize, Failure> {
    match stack.last() {
        None => Err(Failure::Fault(Fault::MissingParameters)),
        Some(None) => Err(Failure::Fault(Fault::EmptyParameter(0))),
        Some(Some(ms)) if (1..=SLEEP).contains(ms) => {
            hl::sleep_for((*ms).into());
            Ok(0)
        }
        Some(Some(_)) => Err(Failure::Fault(Fault::BadParameter(0))),
    }
}

/// A message that was on the stack, with the sizes of `N` leases.
struct Call<const N: usize> {
    task: TaskId,
    operation: u16,
    message: [u8; MESSAGE],
    length: usize,
    reply: usize,
    leases: [usize; N],
}

impl<const N: usize> Call<N> {
    fn read(stack: &[Option<u32>]) -> Result<Self, Failure> {
        let missing = Failure::Fault(Fault::MissingParameters);
        let empty = |number| Failure::Fault(Fault::EmptyParameter(number));
        let bad = |number| Failure::Fault(Fault::BadParameter(number));
        let (rest, sizes) = stack.split_last_chunk::<N>().ok_or(missing)?;
        let mut leases = [0; N];
        for (number, (lease, size)) in (4..).zip(leases.iter_mut().zip(sizes)) {
            *lease = size.ok_or(empty(number))? as usize;
        }
        let (rest, [length, reply]) = rest.split_last_chunk().ok_or(missing)?;
        let length = length.ok_or(empty(3))? as usize;
        let reply = reply.ok_or(empty(3))? as usize;
        let at = rest.len().checked_sub(length).ok_or(missing)?;
        let (rest, bytes) = rest.split_at_checked(at).ok_or(missing)?;
        let (_, [task, operation]) = rest.split_last_chunk().ok_or(missing)?;
        let task = task.ok_or(empty(0))? as usize;
        let operation = operation.ok_or(empty(1))?;
        let mut message = [0; MESSAGE];
        for (to, from) in message
            .get_mut(..length)
            .ok_or(bad(2))?
            .iter_mut()
            .zip(bytes)
        {
            *to = u8::try_from(from.ok_or(empty(2))?).map_err(|_| bad(2))?;
        }
        if task >= NUM_TASKS {
            return Err(bad(0));
        }
        Ok(Self {
            task: sys_refresh_task_id(TaskId::for_index_and_gen(task, Generation::ZERO)),
            operation: u16::try_from(operation).map_err(|_| bad(1))?,
            message,
            length,
            reply,
            leases,
        })
    }

    /// Sends it. A response code other than 0 becomes the error of the function.
    fn send(&self, reply: &mut [u8], leases: &[Lease<'_>]) -> Result<(), Failure> {
        let message = self.message.get(..self.length).unwrap_or(&[]);
        match sys_send(self.task, self.operation, message, reply, leases).0 {
            0 => Ok(()),
            code => Err(Failure::FunctionError(code)),
        }
    }
}

/// Divides `room`: `reply` bytes for the reply, then `lease` bytes for a lease.
fn divide(room: &mut [u8], reply: usize, lease: usize) -> Result<(&mut [u8], &mut [u8]), Failure> {
    let outside = Failure::Fault(Fault::AccessOutOfBounds);
    let (reply, rest) = room.split_at_mut_checked(reply).ok_or(outside)?;
    Ok((reply, rest.get_mut(..lease).ok_or(outside)?))
}

/// The first `lease` bytes of the debugger's data.
fn data_for(data: &[u8], lease: usize) -> Result<&[u8], Failure> {
    data.get(..lease)
        .ok_or(Failure::Fault(Fault::AccessOutOfBounds))
}

fn send(stack: &[Option<u32>], _: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let call = Call::<0>::read(stack)?;
    let (reply, _) = divide(out, call.reply, 0)?;
    call.send(reply, &[])?;
    Ok(call.reply)
}

fn send_lease_read(stack: &[Option<u32>], data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let call = Call::<1>::read(stack)?;
    let [read] = call.leases;
    let (reply, _) = divide(out, call.reply, 0)?;
    call.send(reply, &[Lease::read_only(data_for(data, read)?)])?;
    Ok(call.reply)
}

fn send_lease_write(stack: &[Option<u32>], _: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let call = Call::<1>::read(stack)?;
    let [write] = call.leases;
    let (reply, lease) = divide(out, call.reply, write)?;
    call.send(reply, &[Lease::write_only(lease)])?;
    Ok(call.reply.saturating_add(write))
}

fn send_lease_read_write(
    stack: &[Option<u32>],
    data: &[u8],
    out: &mut [u8],
) -> Result<usize, Failure> {
    let call = Call::<2>::read(stack)?;
    let [write, read] = call.leases;
    let (reply, lease) = divide(out, call.reply, write)?;
    let read = Lease::read_only(data_for(data, read)?);
    call.send(reply, &[read, Lease::write_only(lease)])?;
    Ok(call.reply.saturating_add(write))
}
