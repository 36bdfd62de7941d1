//! Attributes of memory regions, and the rules every task's memory map must obey.
//!
//! The rules are checked twice: when the kernel's tables are generated, and once more by the kernel
//! when it starts, on the tables it is going to enforce.

use crate::slice::Span;
use bitflags::bitflags;

/// What a task may do with a region, and what kind of memory it is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct RegionAttributes(u32);

bitflags! {
    impl RegionAttributes: u32 {
        /// The task may read it.
        const READ = 1 << 0;
        /// The task may write it.
        const WRITE = 1 << 1;
        /// The task may execute it.
        const EXECUTE = 1 << 2;
        /// Registers of a peripheral. The kernel never copies to or from it.
        const DEVICE = 1 << 3;
        /// Memory that a bus master other than the processor uses: not cached, and not used for
        /// messages.
        const DMA = 1 << 4;
    }
}

/// Bytes of a stack that the kernel needs for itself: the extended exception frame of ARMv7-M, 26
/// words.
pub const EXTENDED_FRAME: u32 = 104;

/// The rule that a memory map violates.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum MapViolation {
    /// Base or size is not a multiple of the granule, or the region wraps round the end of memory.
    Alignment,
    /// The regions are not sorted by base, or two share a byte.
    Overlap,
    /// A region may be both written and executed, or a peripheral executed, or unknown attribute
    /// bits are set.
    Permission,
    /// The initial stack pointer is not a multiple of 8, or not far enough inside plain memory that
    /// the task may write.
    Stack,
    /// The entry point is not in memory that the task may execute.
    Entry,
}

/// A region together with its attributes.
pub trait Region: Span {
    /// Its attributes.
    fn attributes(&self) -> RegionAttributes;
}

/// Checks one task's map against all rules that concern this task alone. Regions without attributes
/// are padding.
///
/// # Errors
///
/// The first rule that is violated.
pub fn check<'a, R: Region + 'a>(
    map: impl Iterator<Item = &'a R> + Clone,
    granule: u32,
    entry_point: u32,
    initial_stack: u32,
) -> Result<(), MapViolation> {
    let mut free_from = 0u32;
    for region in map.clone().filter(|region| !region.attributes().is_empty()) {
        if (region.base() | region.size()) & (granule - 1) != 0 {
            return Err(MapViolation::Alignment);
        }
        let end = region
            .base()
            .checked_add(region.size())
            .ok_or(MapViolation::Alignment)?;
        if region.base() < free_from {
            return Err(MapViolation::Overlap);
        }
        free_from = end;
        let attributes = region.attributes();
        let forbidden = RegionAttributes::WRITE | RegionAttributes::EXECUTE;
        let forbidden_device = RegionAttributes::DEVICE | RegionAttributes::EXECUTE;
        if attributes.contains(forbidden)
            || attributes.contains(forbidden_device)
            || RegionAttributes::from_bits(attributes.bits()).is_none()
        {
            return Err(MapViolation::Permission);
        }
    }
    if !initial_stack.is_multiple_of(8) || stack_region(map.clone(), initial_stack).is_none() {
        return Err(MapViolation::Stack);
    }
    let executable = |region: &R| region.attributes().contains(RegionAttributes::EXECUTE);
    match entry_point.checked_add(2) {
        Some(end) if crate::slice::covered(map, entry_point, end, executable) => Ok(()),
        _ => Err(MapViolation::Entry),
    }
}

/// The region that the stack is in: plain writable memory that ends at `initial_stack` or later and
/// begins at least an [`EXTENDED_FRAME`] before it.
pub fn stack_region<'a, R: Region + 'a>(
    map: impl Iterator<Item = &'a R>,
    initial_stack: u32,
) -> Option<&'a R> {
    let wanted = RegionAttributes::READ | RegionAttributes::WRITE;
    let unwanted = RegionAttributes::DEVICE | RegionAttributes::DMA;
    map.filter(|region| {
        region.attributes().contains(wanted) && !region.attributes().intersects(unwanted)
    })
    .find(|region| {
        initial_stack
            .checked_sub(region.base())
            .is_some_and(|depth| depth >= EXTENDED_FRAME && depth <= region.size())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Copy, Clone)]
    struct R(u32, u32, RegionAttributes);

    impl Span for R {
        fn base(&self) -> u32 {
            self.0
        }
        fn size(&self) -> u32 {
            self.1
        }
    }

    impl Region for R {
        fn attributes(&self) -> RegionAttributes {
            self.2
        }
    }

    const RX: RegionAttributes = RegionAttributes::READ.union(RegionAttributes::EXECUTE);
    const RW: RegionAttributes = RegionAttributes::READ.union(RegionAttributes::WRITE);
    const DEVICE: RegionAttributes = RW.union(RegionAttributes::DEVICE);

    fn good() -> Vec<R> {
        vec![
            R(0, 32, RegionAttributes::empty()),
            R(0x1e75_0000, 0x1000, DEVICE),
            R(0x8010_0000, 0x2000, RX),
            R(0x8080_0000, 0x1000, RW),
        ]
    }

    fn verdict(map: &[R]) -> Result<(), MapViolation> {
        check(map.iter(), 0x1000, 0x8010_0000, 0x8080_0800)
    }

    #[test]
    fn accepts_a_proper_map() {
        assert_eq!(verdict(&good()), Ok(()));
    }

    #[test]
    fn refuses_each_violation() {
        let broken = |change: fn(&mut Vec<R>)| {
            let mut map = good();
            change(&mut map);
            verdict(&map)
        };
        assert_eq!(broken(|m| m[1].0 += 0x800), Err(MapViolation::Alignment));
        assert_eq!(broken(|m| m[1].1 = 0x1800), Err(MapViolation::Alignment));
        assert_eq!(
            broken(|m| m.push(R(0xffff_f000, 0x2000, RW))),
            Err(MapViolation::Alignment)
        );
        assert_eq!(broken(|m| m.swap(1, 2)), Err(MapViolation::Overlap));
        assert_eq!(
            broken(|m| m.push(R(0x8080_0000, 0x1000, RW))),
            Err(MapViolation::Overlap)
        );
        assert_eq!(
            broken(|m| m[2].2 |= RegionAttributes::WRITE),
            Err(MapViolation::Permission)
        );
        assert_eq!(
            broken(|m| m[1].2 |= RegionAttributes::EXECUTE),
            Err(MapViolation::Permission)
        );
        assert_eq!(
            broken(|m| m[1].2 = RegionAttributes::from_bits_retain(0x80)),
            Err(MapViolation::Permission)
        );
        assert_eq!(broken(|m| m[3].2 = DEVICE), Err(MapViolation::Stack));
        assert_eq!(
            broken(|m| m[3].2 = RegionAttributes::READ),
            Err(MapViolation::Stack)
        );
        assert_eq!(
            broken(|m| m[3].2 |= RegionAttributes::DMA),
            Err(MapViolation::Stack)
        );
        assert_eq!(
            broken(|m| m[2].2 = RegionAttributes::READ),
            Err(MapViolation::Entry)
        );
        assert_eq!(
            check(good().iter(), 0x1000, 0x8010_0000, 0x8080_0804),
            Err(MapViolation::Stack)
        );
        assert_eq!(
            check(good().iter(), 0x1000, 0x8010_0000, 0x8080_0060),
            Err(MapViolation::Stack)
        );
    }

    #[test]
    fn the_stack_may_end_where_its_region_ends() {
        assert_eq!(
            check(good().iter(), 0x1000, 0x8010_0000, 0x8080_1000),
            Ok(())
        );
        assert_eq!(
            check(good().iter(), 0x1000, 0x8010_0000, 0x8080_1008),
            Err(MapViolation::Stack)
        );
    }
}
