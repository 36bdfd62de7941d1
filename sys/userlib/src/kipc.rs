//! Kernel IPC: requests to the kernel that are sent as messages.
//!
//! Requests and responses are encoded by ssmarshal: little-endian integers, one byte for a bool or
//! a variant, no padding. Requests are simple enough to be encoded by hand here. The kernel answers
//! at once. A request that does not decode, or that the caller may not make, faults the caller; so
//! there are no errors to handle.
//!
//! The operations are described in Hubris' reference, <https://hubris.oxide.computer/reference/>,
//! chapter "The Kernel IPC Interface".

use crate::message::PANIC_MESSAGE_MAX_LEN;
use crate::{
    BuiltRegion, Kipcnum, MemoryKind, ReadPanicMessageError, SaveMemoryError, SavedExtent,
    TASK_REGISTERS, TaskDumpRegion, TaskId, TaskState, UnwrapLite, sys_send,
};
use core::num::NonZeroUsize;
use core::str::Utf8Chunks;

/// Sends `request` and stores the response in `response`. Returns response code and length.
#[inline(always)]
fn call(operation: Kipcnum, request: &[u8], response: &mut [u8]) -> (u32, usize) {
    sys_send(TaskId::KERNEL, operation as u16, request, response, &[])
}

/// A task's index as the kernel takes it.
#[inline(always)]
fn word(value: usize) -> [u8; 4] {
    (value as u32).to_le_bytes()
}

/// A request of two words.
#[inline(always)]
fn two_words(first: u32, second: u32) -> [u8; 8] {
    (u64::from(first) | u64::from(second) << 32).to_le_bytes()
}

/// A request of four words.
#[inline(always)]
fn four_words(a: u32, b: u32, c: u32, d: u32) -> [[u8; 4]; 4] {
    // Not `map`, which takes many times the instructions.
    [
        a.to_le_bytes(),
        b.to_le_bytes(),
        c.to_le_bytes(),
        d.to_le_bytes(),
    ]
}

/// State of task `task`.
pub fn read_task_status(task: usize) -> TaskState {
    let mut response = [0; size_of::<TaskState>()];
    let (_, length) = call(Kipcnum::ReadTaskStatus, &word(task), &mut response);
    decode(&response, length)
}

/// The first faulted task with an index of `task` or more.
pub fn find_faulted_task(task: usize) -> Option<NonZeroUsize> {
    let mut response = [0; 4];
    call(Kipcnum::FindFaultedTask, &word(task), &mut response);
    NonZeroUsize::new(u32::from_le_bytes(response) as usize)
}

/// Memory of task `task`'s entry in the kernel's task table. Kernel feature `dump`.
pub fn get_task_desc_region(task: usize) -> TaskDumpRegion {
    // Number 0 is the entry; it always exists.
    nth_dump_region(task, 0).unwrap_lite()
}

/// The `region`-th writable memory of task `task`, from the lowest address; `None` beyond the last.
/// Kernel feature `dump`.
pub fn get_task_dump_region(task: usize, region: usize) -> Option<TaskDumpRegion> {
    nth_dump_region(task, (region as u32).wrapping_add(1))
}

fn nth_dump_region(task: usize, n: u32) -> Option<TaskDumpRegion> {
    let mut response = [0; size_of::<Option<TaskDumpRegion>>()];
    let (_, length) = call(
        Kipcnum::GetTaskDumpRegion,
        &two_words(task as u32, n),
        &mut response,
    );
    decode(&response, length)
}

/// Copies memory of task `task` to `response`, as many bytes as the shorter of the two has, and
/// returns their number. Supervisor only; kernel feature `dump`.
pub fn read_task_dump_region(task: usize, region: TaskDumpRegion, response: &mut [u8]) -> usize {
    let request: [[u8; 4]; 3] = [
        word(task),
        region.base.to_le_bytes(),
        region.size.to_le_bytes(),
    ];
    call(
        Kipcnum::ReadTaskDumpRegion,
        request.as_flattened(),
        response,
    )
    .1
}

/// The processor registers of task `task` as they were when it last stopped running: r0 to r12, sp,
/// lr, pc, psr. Supervisor only. Not in upstream.
pub fn read_task_registers(task: usize) -> [u32; TASK_REGISTERS] {
    let mut response = [[0; 4]; TASK_REGISTERS];
    call(
        Kipcnum::ReadTaskRegisters,
        &word(task),
        response.as_flattened_mut(),
    );
    response.map(u32::from_le_bytes)
}

/// Copies `length` bytes at `address`, memory of task `task`, to `destination`, memory of the
/// caller that the kernel may write; then puts the task back to its entry point, as [`reinit_task`]
/// does, and runs it; what lies below `address` in its stack stays as it is. [`save_memory`] then
/// saves the task's entry of before with the kernel's memory. Supervisor only; kernel feature
/// `dump`. Not in upstream.
///
/// Returns the number of bytes copied: `length`, or 0 if the kernel refuses, for the reasons of
/// [`SaveMemoryError`] or beyond [`SavedExtent::MAX_BEFORE_RESTART`]. The task is restarted in any
/// case.
pub fn save_and_reinit_task(task: usize, address: u32, length: u32, destination: u32) -> u32 {
    let request = [task as u32, address, length, destination].map(u32::to_le_bytes);
    let operation = Kipcnum::SaveAndReinitTask;
    call(operation, request.as_flattened(), &mut []).1 as u32
}

/// Stores to `ranges` the memory of `owner`, a task's index or
/// [`KERNEL_MEMORY`](crate::KERNEL_MEMORY), that belongs into a snapshot: base and size of each
/// range, little-endian, as many as fit of at most [`SavedExtent::MAX_RANGES`]. Returns how many
/// bytes. Supervisor only; kernel feature `dump`. Not in upstream.
#[inline(always)]
pub fn get_saved_memory(owner: u32, ranges: &mut [u8]) -> usize {
    call(Kipcnum::GetSavedMemory, &owner.to_le_bytes(), ranges).1
}

/// Stores to `destination`, memory of the caller that the kernel may write, what is data among the
/// `length` bytes at `address`, memory of `owner`: a task's index or
/// [`KERNEL_MEMORY`](crate::KERNEL_MEMORY). At most [`SavedExtent::MAX`]. Supervisor only; kernel
/// feature `dump`. Not in upstream.
///
/// # Errors
///
/// Nothing is stored then.
pub fn save_memory(
    owner: u32,
    address: u32,
    length: u32,
    destination: u32,
) -> Result<SavedExtent, SaveMemoryError> {
    let request = four_words(owner, address, length, destination);
    let mut response = [[0; 4]; 4];
    let (code, _) = call(
        Kipcnum::SaveMemory,
        request.as_flattened(),
        response.as_flattened_mut(),
    );
    if code != 0 {
        return Err(SaveMemoryError::try_from(code).unwrap_lite());
    }
    let [map, stored, low, high] = response;
    let (low, high) = (u32::from_le_bytes(low), u32::from_le_bytes(high));
    Ok(SavedExtent {
        map: u32::from_le_bytes(map),
        stored: u32::from_le_bytes(stored),
        sum: u64::from(low) | u64::from(high) << 32,
    })
}

/// Saves the `count` entries of a list ([`ListedExtent`](crate::ListedExtent)) one after the other,
/// as [`save_memory`] does: their data follow each other from `destination` on, `room` bytes of
/// memory. List and destination are memory of the caller that the kernel may write, aligned to
/// words, and do not overlap. At most [`ListedExtent::MAX`](crate::ListedExtent::MAX) entries are
/// saved. Supervisor only; kernel feature `dump`. Not in upstream.
///
/// Returns how many entries are done, and how many bytes of data they have. The kernel returns
/// before the end of the list when an interrupt is pending, after the first entry at the earliest,
/// and before an entry that is not plain memory.
///
/// # Errors
///
/// [`SaveMemoryError::Destination`]: list or destination are not as above.
pub fn save_memory_list(
    list: u32,
    count: u32,
    destination: u32,
    room: u32,
) -> Result<(usize, u32), SaveMemoryError> {
    let request = four_words(list, count, destination, room);
    let mut response = [[0; 4]; 2];
    let (code, _) = call(
        Kipcnum::SaveMemoryList,
        request.as_flattened(),
        response.as_flattened_mut(),
    );
    if code != 0 {
        return Err(SaveMemoryError::try_from(code).unwrap_lite());
    }
    let [done, stored] = response;
    Ok((
        u32::from_le_bytes(done) as usize,
        u32::from_le_bytes(stored),
    ))
}

/// Reads the word at `address`, a register of a peripheral that task `task` may use. Supervisor
/// only; kernel feature `dump`. Not in upstream.
///
/// # Errors
///
/// [`SaveMemoryError::NotReadable`] if there is none, or the address is not a multiple of 4;
/// [`SaveMemoryError::BusFault`] if the device does not answer.
pub fn read_device_word(task: usize, address: u32) -> Result<u32, SaveMemoryError> {
    let mut response = [0; 4];
    let request = two_words(task as u32, address);
    let (code, _) = call(Kipcnum::ReadDeviceWord, &request, &mut response);
    if code != 0 {
        return Err(SaveMemoryError::try_from(code).unwrap_lite());
    }
    Ok(u32::from_le_bytes(response))
}

/// When each task last ran: stores the low word of that tick to the word of `times` that has the
/// task's index. Supervisor only. Not in upstream.
///
/// A task that a tick interrupted ran before it. One that was switched to since the last call of
/// this function, because another has blocked, and that no tick has interrupted, counts as running
/// three ticks ago. Words beyond the last task stay as they are.
pub fn read_run_times(times: &mut [[u8; 4]]) {
    call(Kipcnum::ReadRunTimes, &[], times.as_flattened_mut());
}

/// Has task `task` come back to its receive since this was asked for last, or does it wait in it
/// now? Supervisor only. Not in upstream.
///
/// A receive counts if it takes a message, or waits for messages of any task or for notifications.
/// One in [`sleep_for`](crate::hl::sleep_for) does not, nor one for messages of a single task. A
/// restart of the task counts.
pub fn take_return(task: usize) -> bool {
    let mut response = [0; 4];
    call(Kipcnum::TakeReturn, &word(task), &mut response);
    response != [0; 4]
}

/// Says that the supervisor is well: unless it does so again within this number of milliseconds,
/// the kernel fails and describes who is in its way. 0 ends that. Supervisor only. Not in upstream.
pub fn feed_watchdog(milliseconds: u32) {
    call(Kipcnum::FeedWatchdog, &milliseconds.to_le_bytes(), &mut []);
}

/// Puts task `task` back to its entry point, in its next generation; runs it if `start`. For the
/// supervisor, and tasks that `[kernel.allowed-callers]` of `app.toml` names for `reinit_task`;
/// never of the supervisor, and of the recorder by the supervisor only.
pub fn reinit_task(task: usize, start: bool) {
    let [a, b, c, d] = word(task);
    call(Kipcnum::ReinitTask, &[a, b, c, d, start.into()], &mut []);
}

/// Faults task `task`, which must not be the caller. For the supervisor, and tasks that
/// `[kernel.allowed-callers]` names for `fault_task`; the targets are those of [`reinit_task`].
pub fn fault_task(task: usize) {
    call(Kipcnum::FaultTask, &word(task), &mut []);
}

/// Resets the whole system. For the supervisor, and tasks that `[kernel.allowed-callers]` names for
/// `reset`.
pub fn system_restart() -> ! {
    loop {
        call(Kipcnum::Reset, &[], &mut []);
    }
}

/// The number that identifies this image.
pub fn read_image_id() -> u64 {
    let mut response = [0; 8];
    call(Kipcnum::ReadImageId, &[], &mut response);
    u64::from_le_bytes(response)
}

/// Makes the interrupts that post notification `mask` to task `task` pending. Supervisor only.
pub fn software_irq(task: usize, mask: u32) {
    call(Kipcnum::SoftwareIrq, &two_words(task as u32, mask), &mut []);
}

/// The message that task `task` panicked with, as chunks of valid UTF-8: the task supplied the
/// bytes, so they may not be valid as a whole.
///
/// # Errors
///
/// If the task has not panicked, or its message does not lie in its memory.
pub fn read_panic_message(
    task: usize,
    buf: &mut [u8; PANIC_MESSAGE_MAX_LEN],
) -> Result<Utf8Chunks<'_>, ReadPanicMessageError> {
    let (code, length) = call(Kipcnum::ReadPanicMessage, &word(task), buf);
    if code != 0 {
        return Err(ReadPanicMessageError::try_from(code).unwrap_lite());
    }
    Ok(buf.get(..length).unwrap_or(buf).utf8_chunks())
}

/// What task `task` may do with `length` bytes at `address`. Supervisor only; kernel feature
/// `dump`. Not in upstream.
pub fn check_access(task: usize, address: u32, length: u32) -> MemoryKind {
    let request = [word(task), address.to_le_bytes(), length.to_le_bytes()];
    let mut response = [0; 4];
    call(Kipcnum::CheckAccess, request.as_flattened(), &mut response);
    u32::from_le_bytes(response).into()
}

/// The `n`-th region that a task has registered when it was built; `None` beyond the last.
/// Supervisor only; kernel feature `dump`. Not in upstream.
pub fn get_built_region(n: usize) -> Option<BuiltRegion> {
    let mut response = [0; BuiltRegion::LEN];
    let (_, length) = call(Kipcnum::GetBuiltRegion, &word(n), &mut response);
    (length == BuiltRegion::LEN).then(|| BuiltRegion::from_bytes(&response))
}

/// Decodes a response of `length` bytes.
///
/// # Panics
///
/// If it does not decode, which means that the kernel has another ABI.
fn decode<T: for<'a> serde::Deserialize<'a>>(response: &[u8], length: usize) -> T {
    let (value, _) = ssmarshal::deserialize(response.get(..length).unwrap_lite()).unwrap_lite();
    value
}
