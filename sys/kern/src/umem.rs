//! Access to user memory. Nothing else in the kernel turns a number from a task into a pointer.
//!
//! Every function checks first that the task owns what it named, as plain memory (neither device nor DMA), and then
//! accesses it through the kernel's own mapping: every page of every task is mapped for the kernel in all translation
//! tables.

use crate::arch;
use crate::outcome::CallFault;
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use abi::{LeaseAttributes, ULease, UsageError};
use kerncore::slice::{Element, UserSlice, overlap};

/// Which sides of a refused copy are to blame, and for what. At least one is.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Blame {
    /// Fault of the task that was to be read from.
    pub(crate) from: Option<CallFault>,
    /// Fault of the task that was to be written to.
    pub(crate) to: Option<CallFault>,
}

impl Blame {
    /// The task to be read from made a usage error.
    #[cold]
    #[inline(never)]
    pub(crate) fn from_side(error: UsageError) -> Self {
        Self {
            from: Some(error.into()),
            to: None,
        }
    }

    /// The task to be written to made a usage error.
    #[cold]
    #[inline(never)]
    pub(crate) fn to_side(error: UsageError) -> Self {
        Self {
            from: None,
            to: Some(error.into()),
        }
    }
}

/// The fault of naming memory that one does not own.
#[cold]
pub(crate) fn not_accessible<T: Element>(slice: &UserSlice<T>) -> CallFault {
    CallFault::Memory(slice.base())
}

/// Copies as much as both slices hold, and returns how much that is.
///
/// Nothing is copied and nothing checked if one of them is empty.
///
/// # Errors
///
/// Both sides are checked, over the whole of their slices, before anything is copied. If the slices overlap, the
/// destination is to blame.
#[inline(always)]
pub(crate) fn copy(
    kernel: &Kernel,
    from: TaskHandle,
    source: UserSlice<u8>,
    to: TaskHandle,
    destination: UserSlice<u8>,
) -> Result<u32, Blame> {
    let count = source.count().min(destination.count());
    if count == 0 {
        return Ok(0);
    }
    if !kernel[from].can_read(&source)
        || !kernel[to].can_write(&destination)
        || overlap(&source, &destination)
    {
        let (source, destination) = (
            [source.base(), source.count()],
            [destination.base(), destination.count()],
        );
        return Err(refused(kernel, from, source, to, destination));
    }
    // SAFETY: `source` is readable and `destination` writable memory of tasks, all of which is mapped for the kernel,
    // none of which Rust knows as objects of the kernel, and they do not overlap. `count` is within both.
    unsafe { arch::copy(source.base(), destination.base(), count) };
    Ok(count)
}

/// As [`copy`], of two different tasks' memory, which is given as base and length. Only if it lies in the regions of
/// their stacks, and then it is well-formed; or is well-formed, and one of the two is empty. `None` if not, which says
/// nothing about what else it is.
#[inline(always)]
pub(crate) fn copy_between_stacks(
    kernel: &Kernel,
    from: TaskHandle,
    source: [u32; 2],
    to: TaskHandle,
    destination: [u32; 2],
) -> Option<u32> {
    let ([source, source_len], [destination, destination_len]) = (source, destination);
    let count = source_len.min(destination_len);
    if count == 0 {
        UserSlice::<u8>::new(source, source_len).ok()?;
        UserSlice::<u8>::new(destination, destination_len).ok()?;
        return Some(0);
    }
    if !kernel[from].arch.has_in_stack_region(source, source_len)
        || !kernel[to]
            .arch
            .has_in_stack_region(destination, destination_len)
    {
        return None;
    }
    // SAFETY: as in `copy`. The slices do not overlap, because the regions do not: all callers name two different tasks,
    // and that no two have a stack in common is checked at start (`startup`).
    unsafe { arch::copy(source, destination, count) };
    Some(count)
}

/// Takes base and length of the slices, in registers, so that the way past it needs no memory for them.
#[cold]
#[inline(never)]
fn refused(
    kernel: &Kernel,
    from: TaskHandle,
    [from_base, from_len]: [u32; 2],
    to: TaskHandle,
    [to_base, to_len]: [u32; 2],
) -> Blame {
    let source = match UserSlice::<u8>::new(from_base, from_len) {
        Ok(source) => source,
        Err(error) => return Blame::from_side(error),
    };
    let destination = match UserSlice::<u8>::new(to_base, to_len) {
        Ok(destination) => destination,
        Err(error) => return Blame::to_side(error),
    };
    let readable = kernel[from].can_read(&source);
    let writable =
        kernel[to].can_write(&destination) && !(readable && overlap(&source, &destination));
    Blame {
        from: (!readable).then(|| not_accessible(&source)),
        to: (!writable).then(|| not_accessible(&destination)),
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
    // SAFETY: the source is mapped memory of a task, the destination a buffer of the kernel at least as long as
    // `count`; kernel and task memory are disjoint, as checked at start.
    unsafe { arch::copy(source.base(), buffer.as_mut_ptr() as u32, count as u32) };
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

/// Copies task memory that has been checked by other means.
///
/// # Safety
///
/// `[source, source + count)` is mapped for the kernel and may be read without effects, and does not overlap
/// `destination`.
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
    // SAFETY: the source is the caller's promise, the destination was just checked.
    unsafe { arch::copy(source, destination.base(), count.min(destination.count())) };
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
    // SAFETY: inside a table that is mapped memory of a task, aligned as `UserSlice<ULease>` proves.
    Ok(Some(unsafe { load_lease(entry.base()) }))
}

/// As [`read_lease`], of a table, given as address and number of entries, that lies in the region of the task's stack;
/// then it is well-formed. `None` if it does not, or is too short.
#[inline(always)]
pub(crate) fn read_lease_in_stack(
    task: &Task,
    table: u32,
    count: u32,
    index: u32,
) -> Option<ULease> {
    let size = const { size_of::<ULease>() as u32 };
    // So few that neither product wraps.
    let is_table = table & 3 == 0 && index < count && count < 1 << 16;
    if !is_table
        || !task
            .arch
            .has_in_stack_region(table, count.wrapping_mul(size))
    {
        return None;
    }
    // SAFETY: inside a table that is mapped memory of the task, and aligned.
    Some(unsafe { load_lease(table.wrapping_add(index.wrapping_mul(size))) })
}

/// # Safety
///
/// At `address` are twelve bytes of mapped task memory, aligned to words.
#[inline(always)]
unsafe fn load_lease(address: u32) -> ULease {
    let words = address as *const [u32; 3];
    // SAFETY: the caller's promise, and every bit pattern is valid. Volatile, because it is not the kernel's own memory.
    let [attributes, base_address, length] = unsafe { words.read_volatile() };
    ULease {
        attributes: LeaseAttributes::from_bits_retain(attributes),
        base_address,
        length,
    }
}
