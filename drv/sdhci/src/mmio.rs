//! Access to the controller's registers in memory. The only unsafe code of the crate.
#![allow(unsafe_code)]

use crate::registers::Registers;

/// The registers of one slot, in memory. Holding one proves that nothing else uses the slot.
#[derive(Debug)]
pub struct Mmio {
    base: usize,
}

impl Mmio {
    /// The slot whose register 0x000 is at `base`.
    ///
    /// On many systems-on-chip that is not where the controller's memory region begins: on the
    /// AST2600 vendor registers are there, and slot 0 follows at offset 0x100.
    ///
    /// # Safety
    ///
    /// While the value exists, `base .. base + 0x100` must be the registers of an SD host
    /// controller slot, mapped as device memory and readable and writable by the caller; `base`
    /// must be a multiple of 4; and nothing else may use that slot.
    #[must_use]
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }
}

impl Registers for Mmio {
    #[inline(always)]
    fn load(&self, offset: u8) -> u32 {
        let address = self.base.wrapping_add(usize::from(offset & 0xFC));
        let register = core::ptr::with_exposed_provenance::<u32>(address);
        // SAFETY: `new` demanded that base .. base + 0x100 are mapped, readable device registers
        // for as long as `self` exists; the offset is a multiple of 4 below 0x100 and base is a
        // multiple of 4, so the access is inside and aligned. Device registers are no Rust objects,
        // so no reference to them can exist.
        unsafe { register.read_volatile() }
    }

    #[inline(always)]
    fn store(&self, offset: u8, value: u32) {
        let address = self.base.wrapping_add(usize::from(offset & 0xFC));
        let register = core::ptr::with_exposed_provenance_mut::<u32>(address);
        // SAFETY: as in `load`, and `new` demanded that the registers are writable. What the
        // controller does because of the write can reach memory only through DMA addresses, which
        // come from `Block`s of atomics that outlive the transfer or that hardware may write at any
        // time.
        unsafe { register.write_volatile(value) }
    }
}
