//! The registers that tell what a card is.

use super::{Model, SimCard};

impl SimCard {
    /// CID, as a controller presents it: without its lowest byte.
    pub(super) fn cid(&self) -> [u32; 4] {
        [
            self.serial << 8 | 0x5A,
            self.serial >> 24 | 0x4142_4300,
            0x4445_4647,
            0x0011_4801,
        ]
    }

    /// CSD, as a controller presents it.
    pub(super) fn csd(&self) -> [u32; 4] {
        let mut bits = 0u128;
        let mut put = |low: u32, value: u32| bits |= u128::from(value) << low;
        // Read block length 512, classes basic, read, write, erase, switch.
        put(80, 9);
        put(84, 0x5B5);
        put(12, self.csd_protection.into());
        match self.model {
            Model::SdHighCapacity => {
                put(126, 1);
                put(48, self.blocks / 1024 - 1);
            }
            Model::EmmcSector => {
                put(126, 3);
                put(122, 4);
                put(62, 0xFFF);
                put(47, 7);
            }
            Model::EmmcByte | Model::SdVersion1 | Model::SdStandard => {
                if self.model == Model::EmmcByte {
                    put(126, 3);
                    put(122, 4);
                }
                put(62, self.blocks / 512 - 1);
                put(47, 7);
            }
        }
        let bits = bits >> 8;
        std::array::from_fn(|word| (bits >> (32 * word)) as u32)
    }

    /// Status of the switch command of SD cards: 64 bytes, group 1 at function 1 if `high_speed`.
    pub(super) fn switch_status(high_speed: bool) -> Vec<u32> {
        let mut bytes = [0u8; 64];
        bytes[13] = 0x03;
        bytes[16] = u8::from(high_speed);
        words(&bytes)
    }

    /// EXT_CSD as it is sent.
    pub(super) fn ext_csd_words(&self) -> Vec<u32> {
        words(&self.ext_csd)
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |chunk: &[u8]| {
        chunk
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte))
    };
    bytes.chunks(4).map(word).collect()
}

/// EXT_CSD of an eMMC 5.1 device without cache and without high-priority interrupt.
pub(super) fn ext_csd(blocks: u32) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[192] = 8;
    bytes[194] = 2;
    bytes[196] = 0x57;
    bytes[212..216].copy_from_slice(&blocks.to_le_bytes());
    bytes[222] = 1;
    bytes
}
