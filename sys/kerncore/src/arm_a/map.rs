//! Which memory is mapped, and how.
//!
//! # One kind for each address
//!
//! The TLB keeps entries of several tables at a time. Two that match the same address, a global one
//! and one that is tagged with an ASID, or two of different memory types, are a TLB conflict or
//! incoherent accesses (DDI 0406C, B3.10.1 and A3.5.7). So an address is global in all tables or in
//! none, and has the same memory type wherever it is mapped; only the permissions differ. Global is
//! what is in no task's map: the kernel's own flash and RAM.

use super::tables::Page;
use crate::region::RegionAttributes;

/// Address and size in bytes.
pub type Area = (u32, u32);

/// Memory that is read and written.
const MEMORY: RegionAttributes = RegionAttributes::READ.union(RegionAttributes::WRITE);

/// What is mapped for the kernel, in all tables, in this order: what comes later replaces what was
/// mapped before.
///
/// `own` is its flash and its RAM, `devices` what it drives, `regions` those of all tasks, `shared`
/// what it shares with tasks, which is DMA memory.
pub fn kernel_map<'a>(
    own: [Area; 2],
    devices: &'a [Area],
    regions: impl Iterator<Item = (Area, RegionAttributes)> + 'a,
    shared: impl Iterator<Item = Area> + 'a,
) -> impl Iterator<Item = (Area, Page)> + 'a {
    let [flash, ram] = own;
    let own = [(flash, Page::kernel_text()), (ram, Page::kernel_data())];
    let device = Page::for_kernel(MEMORY.union(RegionAttributes::DEVICE));
    let dma = Page::for_kernel(MEMORY.union(RegionAttributes::DMA));
    own.into_iter()
        .chain(devices.iter().map(move |&area| (area, device)))
        .chain(
            regions
                .filter(|&(_, attributes)| is_memory(attributes))
                .map(|(area, attributes)| (area, Page::for_kernel(for_kernel(attributes)))),
        )
        .chain(shared.map(move |area| (area, dma)))
}

/// Attributes of a task's region in the kernel's map. DMA memory is read-only there: the kernel
/// never copies to it.
fn for_kernel(attributes: RegionAttributes) -> RegionAttributes {
    if attributes.contains(RegionAttributes::DMA) {
        return attributes - RegionAttributes::WRITE;
    }
    attributes
}

/// Is it memory? Tasks' memory is mapped for the kernel too, their devices are not.
fn is_memory(attributes: RegionAttributes) -> bool {
    !attributes.is_empty() && !attributes.contains(RegionAttributes::DEVICE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm_a::tables::{Builder, FirstLevel, PAGE, SecondLevel};
    use std::collections::BTreeMap;

    const RO: RegionAttributes = RegionAttributes::READ;
    const RX: RegionAttributes = RO.union(RegionAttributes::EXECUTE);
    const DMA: RegionAttributes = MEMORY.union(RegionAttributes::DMA);
    const IO: RegionAttributes = MEMORY.union(RegionAttributes::DEVICE);

    const POOL: u32 = 0x8084_0000;
    const WATCHDOG: Area = (0x1e78_5000, PAGE);
    const CRASH: Area = (0x80c0_0000, 4 * PAGE);

    /// Regions of three tasks. The supervisor drives a device that the kernel drives as well.
    const TASKS: [&[(Area, RegionAttributes)]; 3] = [
        &[
            ((0x8011_0000, 2 * PAGE), RX),
            ((0x8081_0000, PAGE), MEMORY),
            (WATCHDOG, IO),
            (CRASH, DMA),
        ],
        &[
            ((0x8011_2000, PAGE), RX),
            ((0x8081_1000, 2 * PAGE), MEMORY),
            ((0x1e75_0000, PAGE), IO),
            (CRASH, DMA),
        ],
        &[
            ((0x8011_3000, PAGE), RX),
            ((0x8081_3000, PAGE), MEMORY),
            ((0x80d0_0000, PAGE), RO),
        ],
    ];

    /// What all entries for an address must have in common: global or not; TEX, C, B and S.
    const KIND: u32 = 1 << 11 | 1 << 10 | 0b111 << 6 | 0b11 << 2;

    #[test]
    fn an_address_has_one_kind_in_all_tables() {
        let mut pool = [SecondLevel([0; 256]); 32];
        let mut builder = Builder::new(&mut pool, POOL);
        let mut kernel = FirstLevel([0; 4096]);
        let own = [(0x8010_0000, 4 * PAGE), (0x8080_0000, 8 * PAGE)];
        let regions = || TASKS.iter().copied().flatten().copied();
        let devices = [(0x1e78_4000, PAGE), WATCHDOG];
        for ((base, size), page) in kernel_map(own, &devices, regions(), [CRASH].into_iter()) {
            builder.map(&mut kernel, None, base, size, page).unwrap();
        }
        let mut tables = vec![kernel];
        for regions in TASKS {
            let mut table = kernel;
            for &((base, size), attributes) in regions {
                let page = Page::for_task(attributes);
                builder
                    .map(&mut table, Some(&kernel), base, size, page)
                    .unwrap();
            }
            tables.push(table);
        }

        let mut kinds = BTreeMap::new();
        for (number, table) in tables.iter().enumerate() {
            for first in table.0.iter().filter(|&&entry| entry != 0) {
                let index = ((first & !0x3ff) - POOL) / 1024;
                for entry in pool[index as usize].0.iter().filter(|&&entry| entry != 0) {
                    let (address, kind) = (entry & !(PAGE - 1), entry & KIND);
                    let (known, by) = *kinds.entry(address).or_insert((kind, number));
                    assert_eq!(kind, known, "{address:#x} in tables {number} and {by}");
                }
            }
        }
        let task_pages = regions().map(|((_, size), _)| size / PAGE).sum::<u32>();
        // The kernel's own, the one device that is its alone; the shared region is counted twice.
        assert_eq!(kinds.len() as u32, task_pages - 4 + 12 + 1);
    }
}
