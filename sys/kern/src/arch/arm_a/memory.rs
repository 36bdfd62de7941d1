//! Memory protection: one translation table per task, written once at start.
//!
//! The format is in [`kerncore::arm_a::tables`], what is mapped how in [`kerncore::arm_a::map`].
//!
//! The tables take 16 KiB per task, and 1 KiB for each MiB that a task has a page in. They lie at
//! the end of the kernel's RAM, beyond what a memory dump needs. They are never changed after
//! start, so the kernel needs no TLB maintenance.

use super::cp15;
use crate::descs::{
    HUBRIS_REGION_DESCS, HUBRIS_TASK_COUNT, KERNEL_EXTERN_REGIONS, RegionAttributes,
    SECOND_LEVEL_TABLES,
};
use crate::fail;
use crate::platform::Platform;
use crate::table::{Kernel, TaskHandle};
use crate::task::Task;
use core::mem::MaybeUninit;
use kerncore::arm_a::map::kernel_map;
use kerncore::arm_a::tables::{Builder, FirstLevel, PAGE, Page, SecondLevel};
use kerncore::region;

use super::frame::FRAME_BYTES;

/// A region's attributes, as a page descriptor.
#[derive(Copy, Clone, Debug)]
#[repr(C)]
pub struct RegionDescExt {
    page: Page,
}

impl RegionDescExt {
    /// The descriptor of the region's pages in the task's own table.
    pub(crate) const fn new(attributes: RegionAttributes) -> Self {
        Self {
            page: Page::for_task(attributes),
        }
    }
}

/// TTBR0: tables are in normal memory, write back, write allocate, not shared (DDI 0406C, B4.1.154,
/// with the multiprocessing extensions).
const WALK: u32 = 1 << 6 | 1 << 3;

// SCTLR bits.
const M: u32 = 1 << 0;
const A: u32 = 1 << 1;
const C: u32 = 1 << 2;
const Z: u32 = 1 << 11;
const I: u32 = 1 << 12;
const TRE: u32 = 1 << 28;
const AFE: u32 = 1 << 29;

/// All translation tables.
#[repr(C)]
struct Tables {
    kernel: FirstLevel,
    tasks: [FirstLevel; HUBRIS_TASK_COUNT],
    second_level: [SecondLevel; SECOND_LEVEL_TABLES],
}

#[unsafe(link_section = ".mmu_tables")]
static mut TABLES: MaybeUninit<Tables> = MaybeUninit::uninit();

unsafe extern "C" {
    static __kernel_flash_start: u8;
    static __kernel_flash_end: u8;
    static __kernel_ram_start: u8;
    static __kernel_ram_end: u8;
    static _stack_base: u8;
    static _stack_start: u8;
    #[cfg(feature = "dump")]
    static __sbss: u8;
    #[cfg(feature = "dump")]
    static __eheap: u8;
    #[cfg(feature = "dump")]
    static __sdata: u8;
    #[cfg(feature = "dump")]
    static __edata: u8;
}

/// What the kernel keeps in RAM, each as its lowest address and the one above it, ascending: stack,
/// data without initial values, data with them. All are multiples of 4. The translation tables are
/// left out, for they never change.
#[cfg(feature = "dump")]
pub(crate) fn kernel_data() -> [(u32, u32); 3] {
    [
        kernel_stack(),
        (&raw const __sbss as u32, &raw const __eheap as u32),
        (&raw const __sdata as u32, &raw const __edata as u32),
    ]
}

/// The kernel's own stack: its lowest address, and the one above it.
pub(crate) fn kernel_stack() -> (u32, u32) {
    (
        &raw const _stack_base as u32,
        &raw const _stack_start as u32,
    )
}

/// The kernel's own flash and RAM, as (base, size), rounded to pages.
fn kernel_memory() -> [(u32, u32); 2] {
    let range = |start: *const u8, end: *const u8| {
        let base = start as u32 & !(PAGE - 1);
        (base, (end as u32).wrapping_sub(base).next_multiple_of(PAGE))
    };
    [
        range(
            &raw const __kernel_flash_start,
            &raw const __kernel_flash_end,
        ),
        range(&raw const __kernel_ram_start, &raw const __kernel_ram_end),
    ]
}

/// Does any of `[base, base + size)` belong to the kernel itself?
pub(crate) fn is_kernel(base: u32, size: u32) -> bool {
    kernel_memory().iter().any(|&(own, own_size)| {
        base < own.saturating_add(own_size) && own < base.saturating_add(size)
    })
}

/// Writes all tables, stores each task's in its [`ArchState`](super::frame::ArchState), and turns
/// translation and caches on.
pub(crate) fn enable(kernel: &mut Kernel, platform: &Platform) {
    let tables = &raw mut TABLES;
    // SAFETY: this runs once, nothing else refers to the tables, and a table of zeros is one that
    // maps nothing.
    let tables: &mut Tables = unsafe {
        tables.write_bytes(0, 1);
        (*tables).assume_init_mut()
    };
    let pool_address = (&raw const tables.second_level) as u32;
    let mut builder = Builder::new(&mut tables.second_level, pool_address);

    let regions = HUBRIS_REGION_DESCS.iter();
    let regions = regions.map(|region| ((region.base, region.size), region.attributes));
    let shared = KERNEL_EXTERN_REGIONS.iter();
    let shared = shared.map(|region| (region.base, region.size));
    let map = kernel_map(kernel_memory(), platform.devices, regions, shared);
    for ((base, size), page) in map {
        if let Err(error) = builder.map(&mut tables.kernel, None, base, size, page) {
            fail::die(format_args!("kernel map at {base:#x}: {error:?}"));
        }
    }

    for (task, table) in TaskHandle::all().zip(&mut tables.tasks) {
        table.0.copy_from_slice(&tables.kernel.0);
        for region in kernel[task].descriptor.regions {
            if region.attributes.is_empty() {
                continue;
            }
            let (base, size) = (region.base, region.size);
            let page = region.arch_data.page;
            if let Err(error) = builder.map(table, Some(&tables.kernel), base, size, page) {
                fail::die(format_args!("map of a task at {base:#x}: {error:?}"));
            }
        }
        let task = &mut kernel[task];
        task.arch.translation_table = (&raw const *table) as u32 | WALK;
        task.arch.address_space = u32::from(task.descriptor.index) + 1;
        set_stack_bounds(task);
    }

    let table = (&raw const tables.kernel) as u32 | WALK;
    // SAFETY: the tables map everything that the kernel uses to its present address.
    unsafe { turn_on(table) };
}

/// Tells the exception entry where the task's stack region is.
fn set_stack_bounds(task: &mut Task) {
    let descriptor = task.descriptor;
    let regions = descriptor.regions.iter().copied();
    let Some(stack) = region::stack_region(regions, descriptor.initial_stack) else {
        // `startup::check` has checked it already.
        fail::die(format_args!("task {} has no stack", descriptor.index));
    };
    task.arch.stack_low = stack.base;
    task.arch.stack_room = stack.size.saturating_sub(FRAME_BYTES) / 4;
    task.arch.stack_size = stack.size;
}

/// Turns translation through `table`, and the caches, on.
///
/// # Safety
///
/// `table` maps all code and data of the kernel one to one.
unsafe fn turn_on(table: u32) {
    invalidate_data_caches();
    // SAFETY: everything is invalid before translation is turned on; the rest is the caller's
    // promise.
    unsafe {
        cp15::iciallu(0);
        cp15::bpiall(0);
        cp15::tlbiall(0);
        cp15::set_ttbcr(0);
        cp15::set_dacr(1);
        cp15::set_contextidr(0);
        cp15::set_ttbr0(table);
        cp15::dsb();
        cp15::isb();
        let sctlr = cp15::sctlr() & !(A | TRE | AFE);
        cp15::set_sctlr(sctlr | M | C | Z | I);
    }
    cp15::isb();
}

/// Invalidates all data and unified caches up to the point of coherency: after a reset their
/// content is undefined (DDI 0406C, B2.2.7). Nothing is lost, because they have been off since.
fn invalidate_data_caches() {
    let clidr = cp15::clidr();
    let levels = clidr >> 24 & 7;
    for level in 0..levels {
        // 2: data cache only; 3: separate; 4: unified.
        if clidr >> (3 * level) & 7 < 2 {
            continue;
        }
        // SAFETY: selects which cache CCSIDR describes.
        unsafe { cp15::set_csselr(level << 1) };
        cp15::isb();
        let ccsidr = cp15::ccsidr();
        let line_shift = (ccsidr & 7) + 4;
        let ways = ccsidr >> 3 & 0x3ff;
        let sets = ccsidr >> 13 & 0x7fff;
        let way_shift = if ways == 0 { 0 } else { ways.leading_zeros() };
        for set in 0..=sets {
            for way in 0..=ways {
                // SAFETY: the caches are off and hold nothing that memory lacks.
                unsafe { cp15::dcisw(way << way_shift | set << line_shift | level << 1) };
            }
        }
    }
    cp15::dsb();
}

/// Sets the words of `[start, end)`, part of a task's stack.
pub(crate) fn fill(start: u32, end: u32, word: u32) {
    // SAFETY: memory of a task, aligned to words (checked at start), mapped for the kernel, and no
    // object of the kernel.
    unsafe { super::copy::fill(start, end, word) };
}

/// Stores the eight core registers of an exception frame. The caller has checked that a frame may
/// be there.
pub(crate) fn store(frame: u32, words: &[u32; 8]) {
    // SAFETY: aligned to words (by the entry and by `reinitialize`), inside memory of a task,
    // mapped for the kernel.
    unsafe { (frame as *mut [u32; 8]).write_volatile(*words) };
}

/// Loads the eight core registers of an exception frame.
pub(crate) fn load(frame: u32) -> [u32; 8] {
    // SAFETY: as for `store`, which has stored a frame there.
    unsafe { (frame as *const [u32; 8]).read_volatile() }
}

/// One of these words.
#[inline(always)]
pub(crate) fn load_word(frame: u32, index: usize) -> u32 {
    // SAFETY: as for `load`; the index is that of one of the eight words.
    unsafe { (frame as *const u32).add(index & 7).read_volatile() }
}
