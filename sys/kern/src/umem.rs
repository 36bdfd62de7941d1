//! Access to user memory.
//!
//! Nothing else in the kernel turns a number from a task into a pointer, but `saved_memory` for the
//! supervisor.
//!
//! Every safe function first checks that the task owns what it named, as plain memory (neither
//! device nor DMA), and then accesses it through the kernel's own mapping: every page of every task
//! is mapped for the kernel in all translation tables.

use crate::arch;
use crate::outcome::CallFault;
use crate::secrets;
use crate::syscalls::args::RawSlice;
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use abi::{LeaseAttributes, ULease, UsageError};
use kerncore::slice::{Element, UserSlice, overlap};

/// The faults that refused a copy. At least one side has one.
#[derive(Copy, Clone, Debug)]
pub(crate) struct CopyFaults {
    /// Fault of the task that was to be read from.
    pub(crate) source: Option<CallFault>,
    /// Fault of the task that was to be written to.
    pub(crate) destination: Option<CallFault>,
}

impl CopyFaults {
    /// The task to be read from made a usage error.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_source(error: UsageError) -> Self {
        Self {
            source: Some(error.into()),
            destination: None,
        }
    }

    /// The task to be written to made a usage error.
    #[cold]
    #[inline(never)]
    pub(crate) fn of_destination(error: UsageError) -> Self {
        Self {
            source: None,
            destination: Some(error.into()),
        }
    }
}

/// The fault of a task that named memory it does not own.
#[cold]
pub(crate) fn not_accessible<T: Element>(slice: &UserSlice<T>) -> CallFault {
    CallFault::Memory(slice.base())
}

/// Copies as many bytes as the shorter slice has, and returns that number.
///
/// If one of them is empty, nothing is checked and nothing copied.
///
/// # Errors
///
/// Both sides are checked, over the whole of their slices, before anything is copied. Slices that
/// overlap are the fault of the destination.
#[inline(always)]
pub(crate) fn copy(
    kernel: &Kernel,
    from: TaskHandle,
    source: UserSlice<u8>,
    to: TaskHandle,
    destination: UserSlice<u8>,
) -> Result<u32, CopyFaults> {
    let count = source.count().min(destination.count());
    if count == 0 {
        return Ok(0);
    }
    if !kernel[from].can_read(&source)
        || !kernel[to].can_write(&destination)
        || overlap(&source, &destination)
    {
        let (source, destination) = (
            RawSlice::new(source.base(), source.count()),
            RawSlice::new(destination.base(), destination.count()),
        );
        return Err(refused(kernel, from, source, to, destination));
    }
    // SAFETY: `source` is readable and `destination` writable memory of tasks, all of which is
    // mapped for the kernel, none of which Rust knows as objects of the kernel, and they do not
    // overlap. `count` is within both.
    unsafe { arch::copy(source.base(), destination.base(), count) };
    Ok(count)
}

/// As [`copy`], and blanks what is secret in the copy.
pub(crate) fn copy_without_secrets(
    kernel: &Kernel,
    from: TaskHandle,
    source: UserSlice<u8>,
    to: TaskHandle,
    destination: UserSlice<u8>,
) -> Result<u32, CopyFaults> {
    let count = copy(kernel, from, source, to, destination)?;
    // SAFETY: `copy` has just written to that memory.
    unsafe { secrets::blank(source.base(), destination.base(), count) };
    Ok(count)
}

/// As [`copy`], but only between the stack regions of two different tasks.
///
/// `None` if a slice lies elsewhere or is not well formed; nothing has been copied then, and
/// [`copy`] decides what is wrong, if anything is. Memory inside a stack region is well formed, so
/// only empty slices are checked for that.
#[inline(always)]
pub(crate) fn copy_between_stacks(
    kernel: &Kernel,
    from: TaskHandle,
    source: RawSlice<u8>,
    to: TaskHandle,
    destination: RawSlice<u8>,
) -> Option<u32> {
    let count = source.count.min(destination.count);
    if count == 0 {
        source.check().ok()?;
        destination.check().ok()?;
        return Some(0);
    }
    if !kernel[from]
        .arch
        .has_in_stack_region(source.base, source.count)
        || !kernel[to]
            .arch
            .has_in_stack_region(destination.base, destination.count)
    {
        return None;
    }
    // SAFETY: as in `copy`. The slices do not overlap, because the regions do not: all callers name
    // two different tasks, and that no two have a stack in common is checked at start (`startup`).
    unsafe { arch::copy(source.base, destination.base, count) };
    Some(count)
}

/// Finds out why [`copy`] refused. Takes raw slices, which are passed in registers; checked ones
/// would be stored to memory on the path that succeeds as well.
#[cold]
#[inline(never)]
fn refused(
    kernel: &Kernel,
    from: TaskHandle,
    source: RawSlice<u8>,
    to: TaskHandle,
    destination: RawSlice<u8>,
) -> CopyFaults {
    let source = match source.check() {
        Ok(source) => source,
        Err(error) => return CopyFaults::of_source(error),
    };
    let destination = match destination.check() {
        Ok(destination) => destination,
        Err(error) => return CopyFaults::of_destination(error),
    };
    let readable = kernel[from].can_read(&source);
    let writable =
        kernel[to].can_write(&destination) && !(readable && overlap(&source, &destination));
    CopyFaults {
        source: (!readable).then(|| not_accessible(&source)),
        destination: (!writable).then(|| not_accessible(&destination)),
    }
}

/// Reads up to `buffer.len()` bytes of a task's slice. Returns how many.
///
/// # Errors
///
/// The task does not own the slice.
pub(crate) fn read(
    task: &Task,
    source: UserSlice<u8>,
    buffer: &mut [u8],
) -> Result<usize, CallFault> {
    let count = (source.count() as usize).min(buffer.len());
    if count == 0 {
        return Ok(0);
    }
    if !task.can_read(&source) {
        return Err(not_accessible(&source));
    }
    // SAFETY: the source is mapped memory of a task, the destination a buffer of the kernel at
    // least as long as `count`; kernel and task memory are disjoint, as checked at start.
    unsafe { arch::copy(source.base(), buffer.as_mut_ptr() as u32, count as u32) };
    Ok(count)
}

/// As [`read`], and blanks what is secret in `buffer`.
pub(crate) fn read_without_secrets(
    task: &Task,
    source: UserSlice<u8>,
    buffer: &mut [u8],
) -> Result<usize, CallFault> {
    let count = read(task, source, buffer)?;
    // SAFETY: `read` has just written to that memory, which is this function's to change.
    unsafe { secrets::blank(source.base(), buffer.as_mut_ptr() as u32, count as u32) };
    Ok(count)
}

/// Writes `bytes` to the start of a task's slice, which must be long enough.
///
/// # Errors
///
/// The task does not own the slice.
pub(crate) fn write(
    task: &Task,
    destination: UserSlice<u8>,
    bytes: &[u8],
) -> Result<(), CallFault> {
    let count = (destination.count() as usize).min(bytes.len());
    if count == 0 {
        return Ok(());
    }
    if !task.can_write(&destination) {
        return Err(not_accessible(&destination));
    }
    // SAFETY: as in `read`, with the roles exchanged.
    unsafe { arch::copy(bytes.as_ptr() as u32, destination.base(), count as u32) };
    Ok(())
}

/// Copies from memory that the caller has checked to a task's slice, without secrets.
///
/// # Safety
///
/// `[source, source + count)` is mapped for the kernel and may be read without effects, and does
/// not overlap `destination`.
#[cfg(feature = "dump")]
pub(crate) unsafe fn copy_out(
    source: u32,
    task: &Task,
    destination: UserSlice<u8>,
    count: u32,
) -> Result<(), CallFault> {
    if count == 0 {
        return Ok(());
    }
    if !task.can_write(&destination) {
        return Err(not_accessible(&destination));
    }
    let count = count.min(destination.count());
    // SAFETY: the source is the caller's promise, the destination was just checked.
    unsafe {
        arch::copy(source, destination.base(), count);
        secrets::blank(source, destination.base(), count);
    }
    Ok(())
}

/// Reads entry `index` of a task's lease table; `None` if the table is shorter.
///
/// # Errors
///
/// The task does not own the table.
#[inline(always)]
pub(crate) fn read_lease(
    task: &Task,
    table: UserSlice<ULease>,
    index: u32,
) -> Result<Option<ULease>, CallFault> {
    if !table.is_empty() && !task.can_read(&table) {
        return Err(not_accessible(&table));
    }
    let Some(entry) = table.element(index) else {
        return Ok(None);
    };
    // SAFETY: inside a table that is mapped memory of a task, aligned as `UserSlice<ULease>`
    // proves.
    Ok(Some(unsafe { load_lease(entry.base()) }))
}

/// As [`read_lease`], but only from a table in the task's stack region; such a table is well
/// formed. `None` if it lies elsewhere, or is too short.
#[inline(always)]
pub(crate) fn read_lease_in_stack(
    task: &Task,
    table: RawSlice<ULease>,
    index: u32,
) -> Option<ULease> {
    let size = const { size_of::<ULease>() as u32 };
    // The limit keeps both products below from wrapping.
    let is_table = table.base & 3 == 0 && index < table.count && table.count < 1 << 16;
    if !is_table
        || !task
            .arch
            .has_in_stack_region(table.base, table.count.wrapping_mul(size))
    {
        return None;
    }
    // SAFETY: inside a table that is mapped memory of the task, and aligned.
    Some(unsafe { load_lease(table.base.wrapping_add(index.wrapping_mul(size))) })
}

/// # Safety
///
/// At `address` are twelve bytes of mapped task memory, aligned to words.
#[inline(always)]
unsafe fn load_lease(address: u32) -> ULease {
    let words = address as *const [u32; 3];
    // SAFETY: the caller's promise, and every bit pattern is valid. Volatile, because it is not the
    // kernel's own memory.
    let [attributes, base_address, length] = unsafe { words.read_volatile() };
    ULease {
        attributes: LeaseAttributes::from_bits_retain(attributes),
        base_address,
        length,
    }
}
