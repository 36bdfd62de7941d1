//! System control coprocessor registers, by their architectural names.
//!
//! References are to DDI 0406C, chapter B4. Reading the registers has no effect on memory safety.
//! Writing may, so the functions that change translation are `unsafe`.

use core::arch::asm;

macro_rules! read {
    ($(#[$doc:meta])* $name:ident, $opc1:literal, $crn:literal, $crm:literal, $opc2:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name() -> u32 {
            let value: u32;
            // SAFETY: reading this register has no effects.
            unsafe {
                asm!(
                    concat!("mrc p15, ", $opc1, ", {}, c", $crn, ", c", $crm, ", ", $opc2),
                    out(reg) value,
                    options(nomem, nostack, preserves_flags)
                );
            }
            value
        }
    };
}

macro_rules! write {
    ($(#[$doc:meta])* $name:ident, $opc1:literal, $crn:literal, $crm:literal, $opc2:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// The caller accounts for what the register does to memory accesses.
        #[inline(always)]
        pub(crate) unsafe fn $name(value: u32) {
            // SAFETY: the caller's promise. Not `nomem`: accesses must not move across it.
            unsafe {
                asm!(
                    concat!("mcr p15, ", $opc1, ", {}, c", $crn, ", c", $crm, ", ", $opc2),
                    in(reg) value,
                    options(nostack, preserves_flags)
                );
            }
        }
    };
}

read!(/// Data fault status.
    dfsr, 0, 5, 0, 0);
read!(/// Instruction fault status.
    ifsr, 0, 5, 0, 1);
read!(/// Data fault address.
    dfar, 0, 6, 0, 0);
read!(/// Instruction fault address.
    ifar, 0, 6, 0, 2);
read!(/// Interrupt status: what is pending.
    #[cfg(feature = "dump")]
    isr, 0, 12, 1, 0);
read!(/// Frequency of the generic timer's counts, as the loader has noted it, Hz.
    cntfrq, 0, 14, 0, 0);
read!(/// Cache levels.
    clidr, 1, 0, 0, 1);
read!(/// Size of the cache that CSSELR selects.
    ccsidr, 1, 0, 0, 0);
read!(/// System control.
    sctlr, 0, 1, 0, 0);
write!(/// System control.
    set_sctlr, 0, 1, 0, 0);
write!(/// Which cache CCSIDR describes.
    set_csselr, 2, 0, 0, 0);
write!(/// Data cache: invalidate by set and way.
    dcisw, 0, 7, 6, 2);
write!(/// Instruction cache: invalidate all.
    iciallu, 0, 7, 5, 0);
write!(/// Branch predictor: invalidate all.
    bpiall, 0, 7, 5, 6);
write!(/// TLB: invalidate all.
    tlbiall, 0, 8, 7, 0);
write!(/// Translation table base control.
    set_ttbcr, 0, 2, 0, 2);
write!(/// Translation table base 0.
    set_ttbr0, 0, 2, 0, 0);
write!(/// Domain access control.
    set_dacr, 0, 3, 0, 0);
write!(/// Context: the ASID.
    set_contextidr, 0, 13, 0, 1);
write!(/// Timer access from USR mode.
    set_cntkctl, 0, 14, 1, 0);
write!(/// Physical timer control.
    set_cntp_ctl, 0, 14, 2, 1);
#[cfg(feature = "bench")]
write!(/// Performance monitors: control.
    set_pmcr, 0, 9, 12, 0);
#[cfg(feature = "bench")]
write!(/// Performance monitors: counters to enable.
    set_pmcntenset, 0, 9, 12, 1);
write!(/// Performance monitors: access from USR mode.
    set_pmuserenr, 0, 9, 14, 0);

/// Physical count.
#[inline(always)]
pub(crate) fn cntpct() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading the count has no effects. ISB keeps it from being read early.
    unsafe {
        asm!(
            "isb",
            "mrrc p15, 0, {}, {}, c14",
            out(reg) low,
            out(reg) high,
            options(nomem, nostack, preserves_flags)
        );
    }
    u64::from(low) | u64::from(high) << 32
}

/// Physical timer: compare value.
#[inline(always)]
pub(crate) fn cntp_cval() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading the register has no effects.
    unsafe {
        asm!(
            "mrrc p15, 2, {}, {}, c14",
            out(reg) low,
            out(reg) high,
            options(nomem, nostack, preserves_flags)
        );
    }
    u64::from(low) | u64::from(high) << 32
}

/// Physical timer: compare value.
#[inline(always)]
pub(crate) fn set_cntp_cval(value: u64) {
    // SAFETY: decides when the timer interrupts; no effect on memory.
    unsafe {
        asm!(
            "mcrr p15, 2, {}, {}, c14",
            in(reg) value as u32,
            in(reg) (value >> 32) as u32,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Virtual count.
#[inline(always)]
pub(crate) fn cntvct() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading the count has no effects. ISB keeps it from being read early.
    unsafe {
        asm!(
            "isb",
            "mrrc p15, 1, {}, {}, c14",
            out(reg) low,
            out(reg) high,
            options(nomem, nostack, preserves_flags)
        );
    }
    u64::from(low) | u64::from(high) << 32
}

/// Virtual timer: compare value.
#[inline(always)]
pub(crate) fn set_cntv_cval(value: u64) {
    // SAFETY: decides when the timer interrupts; no effect on memory.
    unsafe {
        asm!(
            "mcrr p15, 3, {}, {}, c14",
            in(reg) value as u32,
            in(reg) (value >> 32) as u32,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Virtual timer: control.
#[inline(always)]
pub(crate) fn set_cntv_ctl(value: u32) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "mcr p15, 0, {}, c14, c3, 1",
            in(reg) value,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Data synchronisation barrier.
#[inline(always)]
pub(crate) fn dsb() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb", options(nostack, preserves_flags)) };
}

/// Instruction synchronisation barrier.
#[inline(always)]
pub(crate) fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}
