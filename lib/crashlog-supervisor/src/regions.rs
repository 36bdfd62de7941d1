//! The registry of regions: memory that tasks want saved with a crash.
//!
//! A task registers a region when it is built, or at run time while it is healthy. What it may not
//! read is refused, here and again by the kernel when the region is saved. A registration at run
//! time ends when its task is restarted: the memory may then be used for something else. A restart
//! without the supervisor is noticed by the generation in the task's id, which has 6 bits: after a
//! multiple of 64 such restarts the registration goes on. It gives nobody more than the task may
//! read at the time of the crash, and the task can end it.

use crate::{Kernel, Supervisor};
use abi::TaskId;
use crashlog_retained::{ExtentStatus, Name, RegisteredRegion};

/// Longest name of a region, in bytes.
pub const REGION_NAME_MAX: usize = 24;

/// Most bytes of one region of registers of a peripheral: it is read word by word in a crash.
pub const DEVICE_REGION_MAX: u32 = 256;

/// When a region was registered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum RegionOrigin {
    /// When its task was built.
    Build,
    /// At run time, by this generation of its task.
    Run {
        /// As in the task's id.
        generation: u8,
    },
}

/// A region in the registry.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct CrashRegion {
    /// The name that its task gave it, padded with zeros.
    pub name: [u8; REGION_NAME_MAX],
    /// Address of its first byte.
    pub address: u32,
    /// Its length in bytes, at least 1.
    pub length: u32,
    /// The index of its task.
    pub owner: u16,
    /// Whether it is registers of a peripheral.
    pub is_device: bool,
    /// When it was registered.
    pub origin: RegionOrigin,
}

/// What a task may do with a range of memory.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum MemoryAccess {
    /// It may not read all of it, or another bus master accesses it.
    None,
    /// It may read it.
    Memory,
    /// It is registers of one peripheral that it uses.
    Device,
}

/// What the registry has to ask the kernel for.
pub trait RegionKernel {
    /// What `task` may do with `length` bytes at `address`.
    fn access(&mut self, task: u16, address: u32, length: u32) -> MemoryAccess;

    /// The present id of the task with this index.
    fn current(&mut self, task: u16) -> TaskId;

    /// The word at `address`, a multiple of 4: registers of a peripheral that `task` uses.
    ///
    /// # Errors
    /// [`ExtentStatus::NotReadable`] if they are not, [`ExtentStatus::BusFault`] if the peripheral
    /// does not answer.
    fn read_device(&mut self, task: u16, address: u32) -> Result<u32, ExtentStatus>;

    /// The `n`-th region that was registered when its task was built; `None` beyond the last.
    fn built_region(&mut self, n: usize) -> Option<CrashRegion>;
}

/// Why a region is not registered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum RegionRefusal {
    /// The name must have 1 to 24 printable ASCII characters without spaces, and zeros behind them.
    InvalidName,
    /// The task has a region of that name.
    NameTaken,
    /// The task may not read all of it, or it has no bytes, or another bus master accesses it.
    NotReadable,
    /// Registers of a peripheral: address and length must be multiples of 4, and the length at most
    /// [`DEVICE_REGION_MAX`].
    BadDeviceRange,
    /// The task has as many regions as it may have.
    TooMany,
    /// The task's regions would have more bytes than they may have.
    TooLong,
    /// The regions of all tasks fill the registry.
    RegistryFull,
    /// To be ended: the task has registered no such region at run time.
    NotRegistered,
}

/// The registry. The supervisor has it in a static.
#[derive(Debug)]
pub struct CrashRegions<S: ?Sized = [Option<CrashRegion>]> {
    /// How many regions a task may have.
    per_task: u32,
    /// How many bytes they may have together.
    bytes_per_task: u32,
    slots: S,
}

impl<const N: usize> CrashRegions<[Option<CrashRegion>; N]> {
    /// An empty registry of at most `N` regions, with the limits of each task.
    #[must_use]
    pub const fn new(per_task: u32, bytes_per_task: u32) -> Self {
        Self {
            per_task,
            bytes_per_task,
            slots: [None; N],
        }
    }
}

impl CrashRegions {
    /// Fills an empty registry with the regions of the build.
    pub fn add_built(&mut self, kernel: &mut impl RegionKernel) {
        for (number, slot) in self.slots.iter_mut().enumerate() {
            *slot = kernel.built_region(number);
        }
    }

    /// Registers `length` bytes at `address` for `caller`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn register(
        &mut self,
        kernel: &mut impl RegionKernel,
        caller: TaskId,
        name: &[u8; REGION_NAME_MAX],
        address: u32,
        length: u32,
    ) -> Result<(), RegionRefusal> {
        let owner = caller.index() as u16;
        if !is_name(name) {
            return Err(RegionRefusal::InvalidName);
        }
        let is_device = match kernel.access(owner, address, length) {
            MemoryAccess::Memory if length != 0 => false,
            MemoryAccess::Device if length != 0 => true,
            _ => return Err(RegionRefusal::NotReadable),
        };
        if is_device && (length > DEVICE_REGION_MAX || !(address | length).is_multiple_of(4)) {
            return Err(RegionRefusal::BadDeviceRange);
        }
        // A caller that was restarted without the supervisor has regions of an older generation.
        self.end_of_dead(kernel);
        let (mut count, mut bytes) = (0_u32, length);
        for region in self.iter().filter(|region| region.owner == owner) {
            if region.name == *name {
                return Err(RegionRefusal::NameTaken);
            }
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(region.length);
        }
        if count >= self.per_task {
            return Err(RegionRefusal::TooMany);
        }
        if bytes > self.bytes_per_task {
            return Err(RegionRefusal::TooLong);
        }
        let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none()) else {
            return Err(RegionRefusal::RegistryFull);
        };
        *free = Some(CrashRegion {
            name: *name,
            address,
            length,
            owner,
            is_device,
            origin: RegionOrigin::Run {
                generation: generation(caller),
            },
        });
        Ok(())
    }

    /// Ends the registration of `caller`'s region of this name.
    ///
    /// # Errors
    /// If `caller` has registered no such region at run time.
    pub fn unregister(
        &mut self,
        caller: TaskId,
        name: &[u8; REGION_NAME_MAX],
    ) -> Result<(), RegionRefusal> {
        let owner = caller.index() as u16;
        let slot = self.slots.iter_mut().find(|slot| {
            slot.is_some_and(|region| {
                region.owner == owner
                    && region.name == *name
                    && region.origin != RegionOrigin::Build
            })
        });
        *slot.ok_or(RegionRefusal::NotRegistered)? = None;
        Ok(())
    }

    /// Ends the registrations that `task` has made at run time: it is restarted.
    pub fn end_of_task(&mut self, task: usize) {
        self.retain(|region| region.owner as usize != task || region.origin == RegionOrigin::Build);
    }

    /// Ends the registrations of tasks that were restarted by anybody.
    pub fn end_of_dead(&mut self, kernel: &mut impl RegionKernel) {
        self.retain(|region| match region.origin {
            RegionOrigin::Build => true,
            RegionOrigin::Run { generation: of } => generation(kernel.current(region.owner)) == of,
        });
    }

    /// The `n`-th region.
    #[must_use]
    pub fn get(&self, n: usize) -> Option<RegisteredRegion> {
        let region = self.iter().nth(n)?;
        Some(RegisteredRegion {
            name: Name::new(region.name.utf8_chunks().next().map_or("", |it| it.valid())),
            owner: region.owner,
            address: region.address,
            length: region.length,
            is_device: region.is_device,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &CrashRegion> {
        self.slots.iter().flatten()
    }

    fn retain(&mut self, mut stays: impl FnMut(&CrashRegion) -> bool) {
        for slot in self.slots.iter_mut() {
            if slot.as_ref().is_some_and(|region| !stays(region)) {
                *slot = None;
            }
        }
    }
}

/// The registry, as tasks use it.
impl<'a, K: Kernel> Supervisor<'a, K> {
    /// Gives it an empty registry; before, no task can register anything. To be called once.
    // None of these is inlined: its frame would be on the stack of every emergency.
    #[inline(never)]
    pub fn set_regions(&mut self, regions: &'a mut CrashRegions) {
        regions.add_built(&mut self.kernel);
        self.regions = Some(regions);
    }

    /// As [`CrashRegions::register`].
    ///
    /// # Errors
    /// The first rule that is broken.
    #[inline(never)]
    pub fn register_region(
        &mut self,
        caller: TaskId,
        name: &[u8; REGION_NAME_MAX],
        address: u32,
        length: u32,
    ) -> Result<(), RegionRefusal> {
        let Some(regions) = &mut self.regions else {
            return Err(RegionRefusal::RegistryFull);
        };
        regions.register(&mut self.kernel, caller, name, address, length)
    }

    /// As [`CrashRegions::unregister`].
    ///
    /// # Errors
    /// If `caller` has registered no such region at run time.
    #[inline(never)]
    pub fn unregister_region(
        &mut self,
        caller: TaskId,
        name: &[u8; REGION_NAME_MAX],
    ) -> Result<(), RegionRefusal> {
        let Some(regions) = &mut self.regions else {
            return Err(RegionRefusal::NotRegistered);
        };
        regions.unregister(caller, name)
    }

    /// Ends the registrations that `task` has made at run time: it is restarted.
    #[inline(never)]
    pub fn end_regions(&mut self, task: usize) {
        if let Some(regions) = &mut self.regions {
            regions.end_of_task(task);
        }
    }
}

/// The generation in a task's id.
fn generation(task: TaskId) -> u8 {
    task.generation().into()
}

fn is_name(name: &[u8; REGION_NAME_MAX]) -> bool {
    let length = name.iter().position(|byte| *byte == 0);
    let (text, rest) = name.split_at(length.unwrap_or(REGION_NAME_MAX));
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::Generation;
    use std::vec::Vec;

    /// Task 3 has memory from 0x1000 to 0x2fff and a peripheral at 0x8000, 0x1000 bytes; it has
    /// registered a region when it was built.
    struct TestKernel {
        generation: u8,
    }

    fn id(task: u16, generation: u8) -> TaskId {
        TaskId::for_index_and_gen(task.into(), Generation::from(generation))
    }

    fn name(text: &str) -> [u8; REGION_NAME_MAX] {
        let mut name = [0; REGION_NAME_MAX];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    }

    impl RegionKernel for TestKernel {
        fn access(&mut self, task: u16, address: u32, length: u32) -> MemoryAccess {
            let end = u64::from(address) + u64::from(length);
            match (task, address) {
                (3, 0x1000..0x3000) if end <= 0x3000 => MemoryAccess::Memory,
                (3, 0x8000..0x9000) if end <= 0x9000 => MemoryAccess::Device,
                _ => MemoryAccess::None,
            }
        }

        fn current(&mut self, task: u16) -> TaskId {
            id(task, self.generation)
        }

        fn read_device(&mut self, _task: u16, _address: u32) -> Result<u32, ExtentStatus> {
            Err(ExtentStatus::NotReadable)
        }

        fn built_region(&mut self, n: usize) -> Option<CrashRegion> {
            (n == 0).then(|| CrashRegion {
                name: name("built"),
                address: 0x1000,
                length: 8,
                owner: 3,
                is_device: false,
                origin: RegionOrigin::Build,
            })
        }
    }

    fn names(regions: &CrashRegions) -> Vec<std::string::String> {
        let names = (0..).map_while(|n| regions.get(n));
        names.map(|region| region.name.as_str().into()).collect()
    }

    /// REQ: D1
    #[test]
    fn what_a_task_may_not_read_is_refused() {
        let mut kernel = TestKernel { generation: 1 };
        let regions: &mut CrashRegions = &mut CrashRegions::<[_; 4]>::new(3, 100);
        regions.add_built(&mut kernel);
        let mut of = |task, text, address, length| {
            regions.register(&mut kernel, id(task, 1), &name(text), address, length)
        };
        use RegionRefusal::*;
        assert_eq!(of(3, "a", 0x2ffc, 4), Ok(()));
        assert_eq!(of(3, "b", 0x2ffd, 4), Err(NotReadable));
        assert_eq!(of(3, "b", 0xffff_fffc, 8), Err(NotReadable));
        assert_eq!(of(3, "b", 0x1000, 0), Err(NotReadable));
        assert_eq!(of(2, "b", 0x1000, 4), Err(NotReadable));
        assert_eq!(of(3, "b", 0x8000, 260), Err(BadDeviceRange));
        assert_eq!(of(3, "b", 0x8002, 4), Err(BadDeviceRange));
        assert_eq!(of(3, "b", 0x8000, 6), Err(BadDeviceRange));
        assert_eq!(of(3, "", 0x1000, 4), Err(InvalidName));
        assert_eq!(of(3, "a b", 0x1000, 4), Err(InvalidName));
        assert_eq!(of(3, "a\0b", 0x1000, 4), Err(InvalidName));
        assert_eq!(of(3, "built", 0x1000, 4), Err(NameTaken));
        assert_eq!(of(3, "b", 0x1000, 89), Err(TooLong));
        assert_eq!(of(3, "registers", 0x8000, 88), Ok(()));
        assert_eq!(of(3, "c", 0x1000, 1), Err(TooMany));
        let device = regions.get(2).unwrap();
        assert!(device.is_device && device.length == 88 && device.owner == 3);
        assert_eq!(names(regions), ["built", "a", "registers"]);
    }

    /// REQ: D1 (in part)
    #[test]
    fn a_registration_ends_with_its_task() {
        let mut kernel = TestKernel { generation: 1 };
        let regions: &mut CrashRegions = &mut CrashRegions::<[_; 2]>::new(9, 100);
        regions.add_built(&mut kernel);
        let a = name("a");
        assert_eq!(
            regions.register(&mut kernel, id(3, 1), &a, 0x1000, 4),
            Ok(())
        );
        assert_eq!(
            regions.register(&mut kernel, id(3, 1), &name("b"), 0x1000, 4),
            Err(RegionRefusal::RegistryFull)
        );
        regions.end_of_task(2);
        assert_eq!(names(regions), ["built", "a"]);
        regions.end_of_task(3);
        assert_eq!(names(regions), ["built"]);

        // A restart of which the supervisor does not know.
        assert!(
            regions
                .register(&mut kernel, id(3, 1), &a, 0x1000, 4)
                .is_ok()
        );
        kernel.generation = 2;
        assert!(
            regions
                .register(&mut kernel, id(3, 2), &a, 0x1004, 4)
                .is_ok()
        );
        kernel.generation = 3;
        regions.end_of_dead(&mut kernel);
        assert_eq!(names(regions), ["built"]);
    }

    #[test]
    fn a_task_ends_its_own_registrations_of_run_time() {
        let mut kernel = TestKernel { generation: 1 };
        let regions: &mut CrashRegions = &mut CrashRegions::<[_; 4]>::new(9, 100);
        regions.add_built(&mut kernel);
        let a = name("a");
        assert!(
            regions
                .register(&mut kernel, id(3, 1), &a, 0x1000, 4)
                .is_ok()
        );
        let not_registered = Err(RegionRefusal::NotRegistered);
        assert_eq!(regions.unregister(id(2, 1), &a), not_registered);
        assert_eq!(regions.unregister(id(3, 1), &name("built")), not_registered);
        assert_eq!(regions.unregister(id(3, 1), &a), Ok(()));
        assert_eq!(regions.unregister(id(3, 1), &a), not_registered);
        assert_eq!(names(regions), ["built"]);
    }
}
