//! Kernel IPC: a SEND to task id 0xFFFF.
//!
//! The kernel answers at once and the caller keeps running, unless the operation itself stops it.
//! Requests and responses are encoded by ssmarshal, which encodes a structure as its fields one
//! after the other ([`request`]). Leases are ignored.
//!
//! Checks are made in the order in which a server would make them: the operation exists, the
//! message can be read, it decodes, its values are in range, the caller may do this, the response
//! can be written. Operations for the supervisor only check that first, and so do those that end
//! what others do ([`authority`](kerncore::authority)).
//!
//! The operations are those of Hubris' reference (<https://hubris.oxide.computer/reference/>),
//! chapter "The Kernel IPC Interface". Those from 0x100 on are this project's.

#[cfg(feature = "dump")]
mod regions;
mod returns;
mod run_times;
mod watchdog;

use crate::arch;
use crate::descs::{Authority, HUBRIS_TASK_AUTHORITY, HUBRIS_TASK_COUNT};
use crate::outcome::{CallError, CallOutcome};
use crate::syscalls::args::{PanicArgs, SendArgs};
use crate::table::{Kernel, TaskHandle};
use crate::umem::{self, CopyFaults};
use crate::{fail, header, interrupts};
use abi::{FaultInfo, Kipcnum, ReadPanicMessageError, TaskState, UsageError};
use kerncore::authority::Party;
use kerncore::slice::UserSlice;
use serde::{Deserialize, Serialize};

/// Longest request, in bytes. The kernel ignores what follows.
const LONGEST_REQUEST: usize = 16;

/// Longest response that is encoded here, in bytes: a task's state takes 12.
const LONGEST_RESPONSE: usize = 16;

/// Carries out the operation of the caller's SEND.
#[inline(never)]
pub(crate) fn handle(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    match Kipcnum::try_from(SendArgs::of(&kernel[caller]).operation) {
        Ok(Kipcnum::ReadTaskStatus) => read_task_status(kernel, caller),
        Ok(Kipcnum::ReinitTask) => reinit_task(kernel, caller),
        Ok(Kipcnum::FaultTask) => fault_task(kernel, caller),
        Ok(Kipcnum::ReadImageId) => respond(kernel, caller, &header::image_id()),
        Ok(Kipcnum::Reset) => reset(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::GetTaskDumpRegion) => dump::get_task_dump_region(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::ReadTaskDumpRegion) => dump::read_task_dump_region(kernel, caller),
        Ok(Kipcnum::SoftwareIrq) => software_irq(kernel, caller),
        Ok(Kipcnum::FindFaultedTask) => find_faulted_task(kernel, caller),
        Ok(Kipcnum::ReadPanicMessage) => read_panic_message(kernel, caller),
        Ok(Kipcnum::ReadTaskRegisters) => read_task_registers(kernel, caller),
        Ok(Kipcnum::ReadRunTimes) => run_times::read(kernel, caller),
        Ok(Kipcnum::TakeReturn) => returns::take(kernel, caller),
        Ok(Kipcnum::FeedWatchdog) => watchdog::feed(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::SaveAndReinitTask) => saved::save_and_reinit_task(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::GetSavedMemory) => saved::get_saved_memory(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::SaveMemory) => saved::save_memory(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::ReadDeviceWord) => saved::read_device_word(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::SaveMemoryList) => saved::save_memory_list(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::CheckAccess) => regions::check_access(kernel, caller),
        #[cfg(feature = "dump")]
        Ok(Kipcnum::GetBuiltRegion) => regions::get_built_region(kernel, caller),
        _ => Err(UsageError::BadKernelMessage.into()),
    }
}

mod request {
    //! Requests of more than one value. The order of the fields is the encoding, and so ABI.

    use serde::Deserialize;

    /// [`ReinitTask`](abi::Kipcnum::ReinitTask).
    #[derive(Deserialize)]
    pub(super) struct ReinitTask {
        pub(super) task_index: u32,
        /// Make it runnable, too.
        pub(super) start: bool,
    }

    /// [`SoftwareIrq`](abi::Kipcnum::SoftwareIrq).
    #[derive(Deserialize)]
    pub(super) struct SoftwareIrq {
        pub(super) task_index: u32,
        /// Mask of the notification that the interrupts post.
        pub(super) notification: u32,
    }

    /// [`CheckAccess`](abi::Kipcnum::CheckAccess).
    #[cfg(feature = "dump")]
    #[derive(Deserialize)]
    pub(super) struct CheckAccess {
        pub(super) task_index: u32,
        pub(super) address: u32,
        pub(super) length: u32,
    }

    /// [`GetTaskDumpRegion`](abi::Kipcnum::GetTaskDumpRegion).
    #[cfg(feature = "dump")]
    #[derive(Deserialize)]
    pub(super) struct GetTaskDumpRegion {
        pub(super) task_index: u32,
        /// 0 is the task's entry in the task table; its memory is counted from 1.
        pub(super) n: u32,
    }

    /// [`ReadTaskDumpRegion`](abi::Kipcnum::ReadTaskDumpRegion).
    #[cfg(feature = "dump")]
    #[derive(Deserialize)]
    pub(super) struct ReadTaskDumpRegion {
        pub(super) task_index: u32,
        pub(super) region: abi::TaskDumpRegion,
    }
}

/// Reads and decodes the caller's message.
fn decode<T: for<'de> Deserialize<'de>>(
    kernel: &Kernel,
    caller: TaskHandle,
) -> Result<T, CallError> {
    let message = SendArgs::of(&kernel[caller]).message.check()?;
    let mut buffer = [0; LONGEST_REQUEST];
    let len = umem::read(&kernel[caller], message, &mut buffer)?;
    let bytes = buffer.get(..len).unwrap_or_default();
    match ssmarshal::deserialize(bytes) {
        Ok((value, _)) => Ok(value),
        Err(_) => Err(UsageError::BadKernelMessage.into()),
    }
}

/// The caller's response buffer.
fn response_buffer(kernel: &Kernel, caller: TaskHandle) -> Result<UserSlice<u8>, CallError> {
    Ok(SendArgs::of(&kernel[caller]).reply.check()?)
}

/// Encodes `value` into the caller's response buffer. If that is too small, nothing is written, and
/// the caller gets code 0 with a length larger than its buffer.
fn respond<T: Serialize>(kernel: &mut Kernel, caller: TaskHandle, value: &T) -> CallOutcome {
    let mut buffer = [0; LONGEST_RESPONSE];
    let len = ssmarshal::serialize(&mut buffer, value);
    // Every response type fits `buffer`; one that did not would arrive empty.
    let bytes = len.ok().and_then(|len| buffer.get(..len));
    respond_bytes(kernel, caller, bytes.unwrap_or_default(), size_of::<T>())
}

/// As [`respond`], of a value that is encoded already. `size` is the length that the caller gets if
/// its buffer is too small.
fn respond_bytes(
    kernel: &mut Kernel,
    caller: TaskHandle,
    bytes: &[u8],
    size: usize,
) -> CallOutcome {
    let destination = response_buffer(kernel, caller)?;
    let len = if bytes.len() <= destination.count() as usize {
        umem::write(&kernel[caller], destination, bytes)?;
        bytes.len()
    } else {
        size
    };
    kernel[caller].save.set_response(0, len as u32);
    Ok(caller)
}

/// Success without data.
fn done(kernel: &mut Kernel, caller: TaskHandle) {
    kernel[caller].save.set_response(0, 0);
}

fn task(index: u32) -> Result<TaskHandle, CallError> {
    Ok(TaskHandle::new(index as usize).ok_or(UsageError::TaskOutOfRange)?)
}

fn supervisor_only(caller: TaskHandle) -> Result<(), CallError> {
    if caller == TaskHandle::supervisor() {
        Ok(())
    } else {
        Err(UsageError::NotSupervisor.into())
    }
}

/// As one of the two tasks of an operation that ends what a task does.
fn party(kernel: &Kernel, task: TaskHandle) -> Party {
    let index = usize::from(kernel[task].descriptor.index);
    // The table is read, not folded into the code: what a debugger shows is what is enforced.
    let table = core::hint::black_box(&HUBRIS_TASK_AUTHORITY);
    let authority = table.get(index).copied();
    Party {
        index,
        authority: authority.unwrap_or(Authority::empty()),
    }
}

/// Checks that the caller may use this operation.
fn allowed(kernel: &Kernel, caller: TaskHandle, operation: Authority) -> Result<(), CallError> {
    Ok(party(kernel, caller).authority.check(operation)?)
}

/// The task with this index, which the caller is about to end.
fn victim(kernel: &Kernel, caller: TaskHandle, index: u32) -> Result<TaskHandle, CallError> {
    let target = task(index)?;
    party(kernel, caller).check_target(party(kernel, target))?;
    Ok(target)
}

fn read_task_status(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let index = decode::<u32>(kernel, caller)?;
    let state = kernel[task(index)?].state;
    respond(kernel, caller, &state)
}

fn reinit_task(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    allowed(kernel, caller, Authority::REINIT_TASK)?;
    let request::ReinitTask { task_index, start } = decode(kernel, caller)?;
    let target = victim(kernel, caller, task_index)?;
    kernel.restart(target, start, 0);
    Ok(after_restart(kernel, caller, target, start, 0))
}

/// After a restart of `target` the caller gets a response without data whose length is `length`.
fn after_restart(
    kernel: &mut Kernel,
    caller: TaskHandle,
    target: TaskHandle,
    start: bool,
    length: u32,
) -> TaskHandle {
    if target == caller {
        // The caller's registers are those of a new start now: no result may be stored in them.
        return if start {
            caller
        } else {
            kernel.pick_next(caller)
        };
    }
    kernel[caller].save.set_response(0, length);
    caller
}

fn fault_task(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    allowed(kernel, caller, Authority::FAULT_TASK)?;
    let index = decode::<u32>(kernel, caller)?;
    let target = victim(kernel, caller, index)?;
    if target == caller {
        return Err(UsageError::IllegalTask.into());
    }
    done(kernel, caller);
    let culprit = kernel.id(caller);
    let woken = kernel.fault(target, FaultInfo::Injected(culprit));
    Ok(kernel.pick_if(woken, caller))
}

fn reset(kernel: &Kernel, caller: TaskHandle) -> CallOutcome {
    allowed(kernel, caller, Authority::RESET)?;
    fail::restart_for(kernel[caller].descriptor.index)
}

fn software_irq(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let request::SoftwareIrq {
        task_index,
        notification,
    } = decode(kernel, caller)?;
    for &irq in interrupts::posting(task_index as usize, notification)? {
        arch::gic::set_pending(irq);
    }
    done(kernel, caller);
    Ok(caller)
}

fn find_faulted_task(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let start = decode::<u32>(kernel, caller)? as usize;
    if start > HUBRIS_TASK_COUNT {
        return Err(UsageError::TaskOutOfRange.into());
    }
    let found = (start..HUBRIS_TASK_COUNT)
        .find(|&index| {
            TaskHandle::new(index)
                .is_some_and(|task| matches!(kernel[task].state, TaskState::Faulted { .. }))
        })
        .unwrap_or(0);
    respond(kernel, caller, &(found as u32))
}

fn read_panic_message(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    let index = decode::<u32>(kernel, caller)?;
    let target = task(index)?;
    let buffer = response_buffer(kernel, caller)?;
    if !matches!(
        kernel[target].state,
        TaskState::Faulted {
            fault: FaultInfo::Panic,
            ..
        }
    ) {
        return Err(CallError::Code(
            ReadPanicMessageError::TaskNotPanicked as u32,
        ));
    }
    let bad = CallError::Code(ReadPanicMessageError::BadPanicBuffer as u32);
    let Ok(message) = PanicArgs::of(&kernel[target]).message.check() else {
        return Err(bad);
    };
    match umem::copy_without_secrets(kernel, target, message, caller, buffer) {
        Ok(copied) => {
            kernel[caller].save.set_response(0, copied);
            Ok(caller)
        }
        Err(CopyFaults {
            destination: Some(fault),
            ..
        }) => Err(fault.into()),
        Err(CopyFaults {
            destination: None, ..
        }) => Err(bad),
    }
}

/// r0 to r12, sp, lr, pc, psr of any task as it last stopped running. Not in upstream.
fn read_task_registers(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let index = decode::<u32>(kernel, caller)?;
    let registers = arch::registers(&kernel[task(index)?]).map(u32::to_le_bytes);
    respond_bytes(
        kernel,
        caller,
        registers.as_flattened(),
        size_of_val(&registers),
    )
}

#[cfg(feature = "dump")]
mod dump {
    //! Another task's memory, for the supervisor's dumps.

    use super::{decode, request, respond, response_buffer, supervisor_only, task};
    use crate::descs::RegionAttributes;
    use crate::outcome::CallOutcome;
    use crate::table::{Kernel, TaskHandle};
    use crate::task::Task;
    use crate::umem;
    use abi::{TaskDumpRegion, UsageError};
    use kerncore::slice::{UserSlice, covered};

    /// Where the task table has a task's entry.
    fn entry(task: TaskHandle) -> TaskDumpRegion {
        TaskDumpRegion {
            base: task.entry().addr().get() as u32,
            size: size_of::<Task>() as u32,
        }
    }

    pub(super) fn get_task_dump_region(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        let request::GetTaskDumpRegion { task_index, n } = decode(kernel, caller)?;
        let target = task(task_index)?;
        let region = match n.checked_sub(1) {
            None => Some(entry(target)),
            Some(n) => {
                let regions = kernel[target].descriptor.regions.iter();
                let mut dumpable = regions.filter(|region| region.dumpable());
                dumpable.nth(n as usize).map(|region| TaskDumpRegion {
                    base: region.base,
                    size: region.size,
                })
            }
        };
        respond(kernel, caller, &region)
    }

    pub(super) fn read_task_dump_region(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let request::ReadTaskDumpRegion { task_index, region } = decode(kernel, caller)?;
        let target = task(task_index)?;
        if target == TaskHandle::supervisor() {
            return Err(UsageError::TaskOutOfRange.into());
        }
        let source = UserSlice::<u8>::new(region.base, region.size)?;
        let destination = response_buffer(kernel, caller)?;
        if !source.is_empty() && !in_entry(target, &source) && !in_memory(&kernel[target], &source)
        {
            return Err(umem::not_accessible(&source).into());
        }
        let count = source.count().min(destination.count());
        // SAFETY: the source lies in the task table, which is not among the caller's memory, or in
        // memory of the target that is not a device; either is mapped for the kernel. The target is
        // not the caller. If the two share memory, and the slices overlap there, the copy garbles
        // that shared memory, which is theirs, and nothing else.
        unsafe { umem::copy_out(source.base(), &kernel[caller], destination, count)? };
        kernel[caller].save.set_response(0, count);
        Ok(caller)
    }

    fn in_entry(task: TaskHandle, slice: &UserSlice<u8>) -> bool {
        let entry = entry(task);
        slice.base() >= entry.base && slice.end() <= entry.base.wrapping_add(entry.size)
    }

    fn in_memory(task: &Task, slice: &UserSlice<u8>) -> bool {
        covered(
            task.descriptor.regions,
            slice.base(),
            slice.end(),
            |region| {
                region.attributes.contains(RegionAttributes::READ)
                    && !region.attributes.contains(RegionAttributes::DEVICE)
            },
        )
    }
}

#[cfg(feature = "dump")]
mod saved {
    //! Memory for snapshots. Not in upstream.

    use super::{after_restart, respond_bytes, supervisor_only, task};
    use crate::outcome::{CallError, CallOutcome};
    use crate::syscalls::args::SendArgs;
    use crate::table::{Kernel, TaskHandle};
    use crate::{saved_memory, umem};
    use abi::{SavedExtent, UsageError};

    /// Reads the caller's message, which consists of words. As `decode`, in a tenth of the
    /// instructions: one of these requests is on the way of an emergency.
    fn words<const N: usize>(kernel: &Kernel, caller: TaskHandle) -> Result<[u32; N], CallError> {
        let message = SendArgs::of(&kernel[caller]).message.check()?;
        let mut words = [[0; 4]; N];
        let read = umem::read(&kernel[caller], message, words.as_flattened_mut())?;
        if read < size_of_val(&words) {
            return Err(UsageError::BadKernelMessage.into());
        }
        Ok(words.map(u32::from_le_bytes))
    }

    /// As [`respond`], of words.
    fn respond_words<const N: usize>(
        kernel: &mut Kernel,
        caller: TaskHandle,
        words: [u32; N],
    ) -> CallOutcome {
        let bytes = words.map(u32::to_le_bytes);
        respond_bytes(kernel, caller, bytes.as_flattened(), size_of_val(&bytes))
    }

    pub(super) fn save_and_reinit_task(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let [index, address, length, destination] = words(kernel, caller)?;
        let target = task(index)?;
        let copied = saved_memory::save_whole(&kernel[target], address, length, destination);
        kernel.restart(target, true, address);
        Ok(after_restart(kernel, caller, target, true, copied))
    }

    pub(super) fn get_saved_memory(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let [owner] = words(kernel, caller)?;
        let mut response = [[[0; 4]; 2]; SavedExtent::MAX_RANGES];
        let mut count = 0_usize;
        for (place, range) in response.iter_mut().zip(saved_memory::ranges(owner)) {
            *place = [range.base.to_le_bytes(), range.size.to_le_bytes()];
            count = count.wrapping_add(1);
        }
        let bytes = response.get(..count).unwrap_or(&response).as_flattened();
        respond_bytes(kernel, caller, bytes.as_flattened(), size_of_val(bytes))
    }

    pub(super) fn save_memory(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let [owner, address, length, destination] = words(kernel, caller)?;
        match saved_memory::save(owner, address, length, destination) {
            Ok(saved) => {
                let (low, high) = (saved.sum as u32, (saved.sum >> 32) as u32);
                respond_words(kernel, caller, [saved.map, saved.stored, low, high])
            }
            Err(error) => Err(CallError::Code(error as u32)),
        }
    }

    pub(super) fn save_memory_list(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let [list, count, destination, room] = words(kernel, caller)?;
        match saved_memory::save_list(list, count, destination, room) {
            Ok((done, stored)) => respond_words(kernel, caller, [done, stored]),
            Err(error) => Err(CallError::Code(error as u32)),
        }
    }

    pub(super) fn read_device_word(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
        supervisor_only(caller)?;
        let [index, address] = words(kernel, caller)?;
        match saved_memory::device_word(&kernel[task(index)?], address) {
            Ok(word) => respond_words(kernel, caller, [word]),
            Err(error) => Err(CallError::Code(error as u32)),
        }
    }
}
