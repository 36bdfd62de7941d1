//! Short-descriptor translation tables, used as a protection unit.
//!
//! Virtual and physical addresses are equal everywhere, the granule is the 4 KiB small page, and
//! tables are written once, at start. There is one first-level table per task, and one that maps
//! what the kernel needs and nothing for tasks:
//!
//! * the kernel's own pages are *global*: the same in every table, so that they stay in the TLB
//!   over a switch;
//! * a task's pages, and devices, are *not global*, in its own table and in all others: the TLB
//!   tags them with the ASID of the task that runs ([`map`](super::map)).
//!
//! Where a task owns a page, its table has the task's entry in place of the kernel's. Every task
//! page is also mapped, for the kernel alone, in all other tables: so the kernel can copy a message
//! between two tasks whichever of their tables is in use.
//!
//! A second-level table covers one MiB. Tables that hold a task's pages belong to that task; all
//! others are shared. References are to DDI 0406C, section B3.5.

use crate::region::RegionAttributes;

/// The granule of protection: a small page, in bytes.
pub const PAGE: u32 = 4096;

/// Bytes that one first-level entry, and so one second-level table, covers.
pub const SECTION: u32 = 1 << 20;

/// First-level table: one entry per MiB. Aligned to its size, as TTBR0 requires with TTBCR.N = 0.
#[derive(Copy, Clone, Debug)]
#[repr(C, align(16384))]
pub struct FirstLevel(pub [u32; 4096]);

/// Second-level table: one entry per page. Aligned to its size.
#[derive(Copy, Clone, Debug)]
#[repr(C, align(1024))]
pub struct SecondLevel(pub [u32; 256]);

/// Why a region could not be mapped.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum TableError {
    /// Not aligned to pages, or beyond the end of memory.
    Alignment,
    /// All second-level tables of the pool are in use.
    PoolExhausted,
}

/// Small-page descriptor without its address (B3.5.1, "second-level descriptors").
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Page(u32);

/// Bit 0: execute never.
const XN: u32 = 1 << 0;
/// Bit 1: this is a small page.
const SMALL_PAGE: u32 = 1 << 1;
/// Bits 3 and 2: cacheable, bufferable.
const C: u32 = 1 << 3;
const B: u32 = 1 << 2;
/// `AP[1:0]`: accessible to the kernel; to tasks too.
const AP_KERNEL: u32 = 0b01 << 4;
const AP_ALL: u32 = 0b11 << 4;
/// `TEX[0]`.
const TEX0: u32 = 1 << 6;
/// `AP[2]`: read only.
const READ_ONLY: u32 = 1 << 9;
/// Not global.
const NG: u32 = 1 << 11;

/// Normal memory, write back, write allocate: TEX 001, C, B.
const NORMAL: u32 = TEX0 | C | B;
/// Normal memory, not cached: TEX 001.
const UNCACHED: u32 = TEX0;
/// Shareable device: TEX 000, B.
const DEVICE: u32 = B;

/// First-level descriptor of a second-level table, domain 0 (B3.5.1, "first-level descriptors").
const TABLE: u32 = 0b01;
const TABLE_ADDRESS: u32 = !0x3ff;

impl Page {
    /// A page of a task with these attributes: accessible to the task and the kernel.
    pub const fn for_task(attributes: RegionAttributes) -> Self {
        let readable = attributes.intersects(RegionAttributes::READ.union(RegionAttributes::WRITE));
        let access = if readable { AP_ALL } else { AP_KERNEL };
        Self(Self::common(attributes) | access | NG)
    }

    /// The same page as it appears in every other table: accessible to the kernel alone, and never
    /// executed.
    pub const fn for_kernel(attributes: RegionAttributes) -> Self {
        Self(Self::common(attributes) | AP_KERNEL | XN | NG)
    }

    /// A page of the kernel's own RAM.
    pub const fn kernel_data() -> Self {
        Self(SMALL_PAGE | NORMAL | AP_KERNEL | XN)
    }

    /// A page of the kernel's own code.
    pub const fn kernel_text() -> Self {
        Self(SMALL_PAGE | NORMAL | AP_KERNEL | READ_ONLY)
    }

    /// The descriptor for the page at `address`.
    pub const fn at(self, address: u32) -> u32 {
        address & !(PAGE - 1) | self.0
    }

    /// The descriptor's attribute bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    const fn common(attributes: RegionAttributes) -> u32 {
        let memory = if attributes.contains(RegionAttributes::DEVICE) {
            DEVICE
        } else if attributes.contains(RegionAttributes::DMA) {
            UNCACHED
        } else {
            NORMAL
        };
        let write = if attributes.contains(RegionAttributes::WRITE) {
            0
        } else {
            READ_ONLY
        };
        let execute = if attributes.contains(RegionAttributes::EXECUTE) {
            0
        } else {
            XN
        };
        SMALL_PAGE | memory | write | execute
    }
}

/// Hands out second-level tables and writes entries into them.
pub struct Builder<'a> {
    pool: &'a mut [SecondLevel],
    /// Address of `pool`, as the table walker sees it.
    address: u32,
    used: usize,
}

impl<'a> Builder<'a> {
    /// A builder that takes its tables from `pool`, which lies at `address`.
    pub fn new(pool: &'a mut [SecondLevel], address: u32) -> Self {
        Self {
            pool,
            address,
            used: 0,
        }
    }

    /// Maps `[base, base + size)` in `table` as `page` says, over what may have been mapped there.
    ///
    /// Second-level tables that `table` shares with `shared` are replaced by copies first, so that
    /// `shared` stays as it is; without `shared` they are changed in place.
    ///
    /// # Errors
    ///
    /// See [`TableError`]. Part of the range may have been mapped then.
    pub fn map(
        &mut self,
        table: &mut FirstLevel,
        shared: Option<&FirstLevel>,
        base: u32,
        size: u32,
        page: Page,
    ) -> Result<(), TableError> {
        if (base | size) & (PAGE - 1) != 0 || base.checked_add(size).is_none() {
            return Err(TableError::Alignment);
        }
        let pages = size / PAGE;
        for number in base / PAGE..base / PAGE + pages {
            let section = number as usize / 256;
            let slot = self
                .private(table, shared, section)
                .ok_or(TableError::PoolExhausted)?;
            if let Some(entry) = slot.0.get_mut(number as usize % 256) {
                *entry = page.at(number.wrapping_mul(PAGE));
            }
        }
        Ok(())
    }

    /// The second-level table for `section`, which no other first-level table shares.
    fn private(
        &mut self,
        table: &mut FirstLevel,
        shared: Option<&FirstLevel>,
        section: usize,
    ) -> Option<&mut SecondLevel> {
        let entry = table.0.get_mut(section)?;
        let original = shared
            .and_then(|shared| shared.0.get(section))
            .copied()
            .unwrap_or(0);
        if *entry == original && (*entry == 0 || shared.is_some()) {
            // In place: a table is too large for the kernel's stack.
            let copied = self.index(original);
            let new = self.pool.get_mut(self.used)?;
            match copied {
                None => new.0.fill(0),
                Some(index) if index < self.used => self.pool.copy_within(index..=index, self.used),
                Some(_) => return None,
            }
            *entry = self
                .address
                .wrapping_add((self.used as u32).wrapping_mul(1024))
                | TABLE;
            self.used += 1;
        }
        let index = self.index(*entry)?;
        self.pool.get_mut(index)
    }

    /// Which table of the pool a first-level entry points to.
    fn index(&self, entry: u32) -> Option<usize> {
        if entry & 0b11 != TABLE {
            return None;
        }
        Some(((entry & TABLE_ADDRESS).wrapping_sub(self.address) / 1024) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RO: RegionAttributes = RegionAttributes::READ;
    const RX: RegionAttributes = RO.union(RegionAttributes::EXECUTE);
    const RW: RegionAttributes = RO.union(RegionAttributes::WRITE);
    const IO: RegionAttributes = RW.union(RegionAttributes::DEVICE);

    const POOL: u32 = 0x8084_0000;

    /// The second-level descriptor that the table walker finds for an address.
    fn walk(table: &FirstLevel, pool: &[SecondLevel], address: u32) -> Option<u32> {
        let first = table.0[(address >> 20) as usize];
        if first & 3 != 1 {
            return None;
        }
        let index = ((first & !0x3ff) - POOL) / 1024;
        let entry = pool[index as usize].0[(address >> 12) as usize % 256];
        (entry & 2 != 0).then_some(entry)
    }

    /// (kernel read, kernel write, task read, task write, task execute, global), B3.7.1 table B3-8.
    fn rights(entry: u32) -> (bool, bool, bool, bool, bool, bool) {
        let write = entry & (1 << 9) == 0;
        let user = entry >> 4 & 3 == 3;
        assert!(matches!(entry >> 4 & 3, 1 | 3));
        (
            true,
            write,
            user,
            user && write,
            user && entry & 1 == 0,
            entry & (1 << 11) == 0,
        )
    }

    #[test]
    fn descriptors_of_each_kind() {
        assert_eq!(Page::for_task(RX).at(0x8010_3000), 0x8010_3000 | 0xa7e);
        assert_eq!(Page::for_task(RW).at(0x8080_3000), 0x8080_3000 | 0x87f);
        assert_eq!(Page::for_task(IO).at(0x1e75_0000), 0x1e75_0000 | 0x837);
        assert_eq!(Page::for_kernel(RX).bits(), 0xa5f);
        assert_eq!(Page::for_kernel(RW).bits(), 0x85f);
        assert_eq!(Page::kernel_data().bits(), 0x05f);
        assert_eq!(Page::kernel_text().bits(), 0x25e);
        assert_eq!(Page::for_task(RW | RegionAttributes::DMA).bits(), 0x873);
    }

    #[test]
    fn a_task_sees_its_own_pages_and_the_kernel_sees_all() {
        let mut pool = [SecondLevel([0xffff_ffff; 256]); 8];
        let mut kernel = FirstLevel([0; 4096]);
        let mut builder = Builder::new(&mut pool, POOL);
        builder
            .map(
                &mut kernel,
                None,
                0x8010_0000,
                0x1_0000,
                Page::kernel_text(),
            )
            .unwrap();
        for base in [0x8080_0000, 0x8080_1000] {
            builder
                .map(&mut kernel, None, base, PAGE, Page::for_kernel(RW))
                .unwrap();
        }
        let mut tasks = [kernel, kernel];
        for (i, task) in tasks.iter_mut().enumerate() {
            let base = 0x8080_0000 + i as u32 * PAGE;
            builder
                .map(task, Some(&kernel), base, PAGE, Page::for_task(RW))
                .unwrap();
            builder
                .map(task, Some(&kernel), base, PAGE, Page::for_task(RW))
                .unwrap();
        }
        assert_eq!(builder.used, 4);

        for (i, task) in tasks.iter().enumerate() {
            let (own, other) = (0x8080_0000 + i as u32 * PAGE, 0x8080_1000 - i as u32 * PAGE);
            let own = walk(task, &pool, own).map(rights);
            let other = walk(task, &pool, other).map(rights);
            let text = walk(task, &pool, 0x8010_f000).map(rights);
            assert_eq!(own, Some((true, true, true, true, false, false)));
            assert_eq!(other, Some((true, true, false, false, false, false)));
            assert_eq!(text, Some((true, false, false, false, false, true)));
            for hole in [
                0,
                0x8011_0000,
                0x8080_2000,
                0x807f_f000,
                0x1e75_0000,
                0xffff_f000,
            ] {
                assert_eq!(walk(task, &pool, hole), None);
            }
        }
        assert_eq!(
            tasks[0].0[0x801], kernel.0[0x801],
            "tables without task pages are shared"
        );
    }

    #[test]
    fn regions_may_straddle_sections() {
        let mut pool = [SecondLevel([0; 256]); 2];
        let mut table = FirstLevel([0; 4096]);
        let mut builder = Builder::new(&mut pool, POOL);
        builder
            .map(
                &mut table,
                None,
                0x800f_f000,
                2 * PAGE,
                Page::for_kernel(RW),
            )
            .unwrap();
        for page in [0x800f_f000, 0x8010_0000] {
            assert_eq!(
                walk(&table, &pool, page).map(|entry| entry & !0xfff),
                Some(page)
            );
        }
    }

    #[test]
    fn refuses_what_it_cannot_map() {
        let mut pool = [SecondLevel([0; 256]); 1];
        let mut table = FirstLevel([0; 4096]);
        let mut builder = Builder::new(&mut pool, POOL);
        let page = Page::for_kernel(RW);
        assert_eq!(
            builder.map(&mut table, None, 0x800, PAGE, page),
            Err(TableError::Alignment)
        );
        assert_eq!(
            builder.map(&mut table, None, 0xffff_f000, PAGE, page),
            Err(TableError::Alignment)
        );
        assert_eq!(
            builder.map(&mut table, None, 0x1000, 0x800, page),
            Err(TableError::Alignment)
        );
        assert_eq!(
            builder.map(&mut table, None, 0xf_f000, 2 * PAGE, page),
            Err(TableError::PoolExhausted)
        );
    }
}
