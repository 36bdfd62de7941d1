//! The card-specific data register (SD 5.3, eMMC 7.3).

use crate::location::CardKind;

/// The fields of the register that a driver needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Csd {
    /// Capacity, blocks of 512 bytes. Not valid for an eMMC with sector addressing, whose capacity
    /// is in EXT_CSD.
    pub blocks: u32,
    /// Supported command classes (CCC).
    pub classes: u16,
    /// The card has an EXT_CSD register (eMMC, SPEC_VERS 4 and later).
    pub has_ext_csd: bool,
    /// The whole card is write-protected, temporarily or permanently.
    pub read_only: bool,
}

impl Csd {
    /// Parses the register from the four words of a long response (bits 127:8 of the register in
    /// bits 119:0). `None` if its structure is unknown, or the capacity out of range.
    #[must_use]
    pub fn parse(response: [u32; 4], kind: CardKind) -> Option<Self> {
        let field = |low, width| field(response, low, width);
        let structure = field(126, 2);
        let blocks = if kind == CardKind::Sd && structure == 1 {
            // (C_SIZE + 1) * 512 KiB. The last block of a card of 2 TiB cannot be counted.
            field(48, 22).checked_add(1)?.saturating_mul(1024)
        } else if kind == CardKind::Sd && structure != 0 {
            return None;
        } else {
            // (C_SIZE + 1) * 2^(C_SIZE_MULT + 2) * 2^READ_BL_LEN bytes
            let read_bl_len = field(80, 4);
            let shift = field(47, 3)
                .checked_add(2)?
                .checked_add(read_bl_len)?
                .checked_sub(9)?;
            if !(9..=11).contains(&read_bl_len) {
                return None;
            }
            field(62, 12).checked_add(1)?.checked_shl(shift)?
        };
        Some(Self {
            blocks,
            classes: field(84, 12) as u16,
            has_ext_csd: kind == CardKind::Emmc && field(122, 4) >= 4,
            read_only: field(12, 2) != 0,
        })
    }
}

/// Bits `low .. low + width` of the register, `width` at most 22.
fn field(response: [u32; 4], low: u32, width: u32) -> u32 {
    // The response has no CRC, which is the lowest byte of the register.
    let low = low.wrapping_sub(8);
    let index = (low / 32) as usize;
    let word = |index: usize| u64::from(response.get(index).copied().unwrap_or(0));
    let pair = word(index.wrapping_add(1)) << 32 | word(index);
    let mask = 1u32.wrapping_shl(width).wrapping_sub(1);
    (pair.wrapping_shr(low % 32) as u32) & mask
}

#[cfg(test)]
mod tests {
    use super::{Csd, field};
    use crate::location::CardKind;

    /// Puts `value` at bit `low` of the register.
    fn put(response: &mut [u32; 4], low: u32, value: u128) {
        let mut bits = u128::from(response[3]) << 96
            | u128::from(response[2]) << 64
            | u128::from(response[1]) << 32
            | u128::from(response[0]);
        bits |= value << (low - 8);
        *response = core::array::from_fn(|i| (bits >> (32 * i)) as u32);
    }

    #[test]
    fn fields_cross_words() {
        let mut response = [0; 4];
        put(&mut response, 62, 0xABC);
        assert_eq!(field(response, 62, 12), 0xABC);
        assert_eq!(field(response, 61, 12), 0x578);
    }

    #[test]
    fn old_cards_have_size_times_multiplier() {
        let mut response = [0; 4];
        put(&mut response, 122, 4);
        put(&mut response, 84, 0x5B5);
        put(&mut response, 80, 10);
        put(&mut response, 62, 4095);
        put(&mut response, 47, 7);
        let csd = Csd::parse(response, CardKind::Emmc).expect("a good CSD");
        assert_eq!(u64::from(csd.blocks) * 512, 2 << 30);
        assert_eq!(
            (csd.classes, csd.has_ext_csd, csd.read_only),
            (0x5B5, true, false)
        );
        put(&mut response, 12, 1);
        assert!(
            Csd::parse(response, CardKind::Sd)
                .expect("a good CSD")
                .read_only
        );
    }

    #[test]
    fn large_sd_cards_count_half_megabytes() {
        let mut response = [0; 4];
        put(&mut response, 126, 1);
        put(&mut response, 80, 9);
        put(&mut response, 48, 0x3F_FFFF);
        assert_eq!(
            Csd::parse(response, CardKind::Sd).map(|csd| csd.blocks),
            Some(u32::MAX),
            "all but one of the blocks of 2 TiB"
        );
        let mut response = [0; 4];
        put(&mut response, 126, 1);
        put(&mut response, 48, 15_159);
        assert_eq!(
            Csd::parse(response, CardKind::Sd).map(|csd| csd.blocks),
            Some(15_160 * 1024)
        );
    }

    #[test]
    fn an_invalid_register_is_refused() {
        assert_eq!(Csd::parse([0; 4], CardKind::Emmc), None);
        assert_eq!(Csd::parse([u32::MAX; 4], CardKind::Sd), None);
    }
}
