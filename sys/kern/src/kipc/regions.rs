//! Registered regions, for the supervisor's registry. Not in upstream.

use super::{decode, request, respond, respond_bytes, supervisor_only, task};
use crate::descs::{CrashRegionDesc, HUBRIS_CRASH_REGIONS, RegionAttributes};
use crate::outcome::CallOutcome;
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use abi::{BuiltRegion, MemoryKind};
use kerncore::slice::{UserSlice, covered};

/// What a task may do with a range of memory.
pub(super) fn check_access(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let request::CheckAccess {
        task_index,
        address,
        length,
    } = decode(kernel, caller)?;
    let target = task(task_index)?;
    let kind = match UserSlice::new(address, length) {
        Ok(slice) if length != 0 => kind(&kernel[target], &slice),
        _ => MemoryKind::None,
    };
    respond(kernel, caller, &(kind as u32))
}

fn kind(task: &Task, slice: &UserSlice<u8>) -> MemoryKind {
    let regions = task.descriptor.regions;
    let (device, dma) = (RegionAttributes::DEVICE, RegionAttributes::DMA);
    let of = |unwanted| {
        covered(regions, slice.base(), slice.end(), |region| {
            region.attributes.contains(RegionAttributes::READ)
                && !region.attributes.intersects(unwanted)
        })
    };
    // A device has one region, and nothing else may be beside it.
    let is_device = regions.iter().any(|region| {
        region.attributes.contains(device)
            && region.base <= slice.base()
            && slice.end() <= region.base.saturating_add(region.size)
    });
    if of(device | dma) {
        MemoryKind::Memory
    } else if is_device {
        MemoryKind::Device
    } else {
        MemoryKind::None
    }
}

/// The n-th region that a task has registered when it was built; nothing beyond the last.
pub(super) fn get_built_region(kernel: &mut Kernel, caller: TaskHandle) -> CallOutcome {
    supervisor_only(caller)?;
    let number = decode::<u32>(kernel, caller)?;
    match HUBRIS_CRASH_REGIONS.get(number as usize) {
        Some(region) => {
            let bytes = encode(region).to_bytes();
            respond_bytes(kernel, caller, &bytes, BuiltRegion::LEN)
        }
        None => respond_bytes(kernel, caller, &[], 0),
    }
}

fn encode(region: &CrashRegionDesc) -> BuiltRegion {
    BuiltRegion {
        name: region.name,
        base: region.base,
        size: region.size,
        owner: region.owner,
    }
}
