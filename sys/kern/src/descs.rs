//! Tasks, regions and interrupts as constant tables.
//!
//! The build script generates them.
//!
//! Debuggers look for these names and layouts.

use crate::arch::RegionDescExt;
use crate::task::Task;
use abi::{InterruptNum, InterruptOwner};
use bitflags::bitflags;
use core::mem::MaybeUninit;
pub use kerncore::authority::Authority;
use kerncore::region::Region;
pub use kerncore::region::RegionAttributes;
use kerncore::slice::Span;

/// Regions a task may have, the null region that pads the list included.
pub const REGIONS_PER_TASK: usize = 8;

/// What the build decided about a task.
#[derive(Debug)]
pub struct TaskDesc {
    /// Its memory map, ascending by base.
    pub regions: [&'static RegionDesc; REGIONS_PER_TASK],
    /// First instruction, without the Thumb bit.
    pub entry_point: u32,
    /// Initial stack pointer.
    pub initial_stack: u32,
    /// Scheduling priority; 0 is the most important.
    pub priority: u8,
    /// See [`TaskFlags`].
    pub flags: TaskFlags,
    /// Its index in the table.
    pub index: u16,
}

/// Flags of a task.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct TaskFlags(u8);

bitflags! {
    impl TaskFlags: u8 {
        /// Runnable at boot; otherwise stopped until the supervisor starts it.
        const START_AT_BOOT = 1 << 0;
    }
}

/// A piece of memory that tasks may access.
#[derive(Debug)]
#[repr(C)]
pub struct RegionDesc {
    /// The attributes in the encoding of the memory protection unit.
    pub arch_data: RegionDescExt,
    /// Address of the first byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
    /// What the task may do with it.
    pub attributes: RegionAttributes,
}

impl RegionDesc {
    /// A region of `size` bytes at `base`.
    pub const fn new(base: u32, size: u32, attributes: RegionAttributes) -> Self {
        Self {
            arch_data: RegionDescExt::new(attributes),
            base,
            size,
            attributes,
        }
    }

    /// May a dump contain it? Writable memory may; a device may not, because reading it can have
    /// effects.
    pub fn dumpable(&self) -> bool {
        self.attributes.contains(RegionAttributes::WRITE)
            && !self.attributes.contains(RegionAttributes::DEVICE)
    }
}

impl Span for RegionDesc {
    #[inline(always)]
    fn base(&self) -> u32 {
        self.base
    }

    #[inline(always)]
    fn size(&self) -> u32 {
        self.size
    }
}

impl Region for RegionDesc {
    #[inline(always)]
    fn attributes(&self) -> RegionAttributes {
        self.attributes
    }
}

/// Longest name of a registered region, in bytes.
pub const REGION_NAME_MAX: usize = 24;

/// A region that a task has registered for crashes when it was built.
#[derive(Debug)]
#[repr(C)]
pub struct CrashRegionDesc {
    /// The name that the task gave it, padded with zeros.
    pub name: [u8; REGION_NAME_MAX],
    /// Address of the first byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
    /// The task's index.
    pub owner: u16,
}

/// Memory of a task that must not leave the machine.
#[derive(Debug)]
pub struct SecretDesc {
    /// Address of the first byte.
    pub base: u32,
    /// Address after the last byte.
    pub end: u32,
}

/// A memory output that the kernel itself uses (`kernel.extern-regions` in `app.toml`), as a whole.
/// Mapped readable, writable and not cached.
#[derive(Debug)]
pub struct ExternRegion {
    /// Its name.
    pub name: &'static str,
    /// Address of the first byte.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
}

/// The memory output of this name, if the kernel has it.
pub fn extern_region(name: &str) -> Option<&'static ExternRegion> {
    KERNEL_EXTERN_REGIONS
        .iter()
        .find(|region| region.name == name)
}

/// A constant map, searched by bisection.
pub struct SortedMap<K: 'static, V: 'static>(pub &'static [(K, V)]);

impl<K: Ord, V> SortedMap<K, V> {
    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        let position = self
            .0
            .binary_search_by(|(candidate, _)| candidate.cmp(key))
            .ok()?;
        self.0.get(position).map(|(_, value)| value)
    }
}

include!(concat!(env!("OUT_DIR"), "/kconfig.rs"));
