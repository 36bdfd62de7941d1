//! Normal operation: identification and transfers of every kind of card.

mod common;

use block_device::{Block, BlockDevice};
use common::{Bench, MODELS, UNREACHABLE};
use drv_mmc::{Error, Kind, flag};
use drv_sdhci_sim::{Card as SimulatedCard, Model, State};

/// REQ: M10 (eMMC and SD card, byte and sector addressing)
#[test]
fn every_kind_of_card_is_identified_and_used() {
    for (model, blocks) in MODELS {
        for dma in [true, false] {
            for lines in [1, 4, 8] {
                let mut bench = Bench::of(model, blocks);
                bench.lines = lines;
                let mut card = bench.card(dma);
                let what = format!("{model:?} dma {dma} lines {lines}");
                assert_eq!(bench.sim.block_on(card.identify()), Ok(()), "{what}");
                assert_eq!(card.block_count(), u64::from(blocks), "{what}");
                let location = *card.location();
                let emmc = matches!(model, Model::EmmcByte | Model::EmmcSector);
                let sector = matches!(model, Model::EmmcSector | Model::SdHighCapacity);
                assert_eq!(
                    location.kind(),
                    Some(if emmc { Kind::Emmc } else { Kind::Sd })
                );
                assert_eq!(location.has(flag::SECTOR_ADDRESSING), sector, "{what}");
                assert_eq!(
                    location.lines,
                    if emmc { lines } else { lines.min(4) },
                    "{what}"
                );
                assert!(location.has(flag::HIGH_SPEED), "{what}");
                for (seed, (first, len)) in [
                    (0, 1),
                    (7, 2),
                    (1000, 130),
                    (blocks - 1, 1),
                    (blocks - 40, 40),
                ]
                .into_iter()
                .enumerate()
                {
                    bench.fill(seed as u32, len);
                    let write = card.write(u64::from(first), &bench.data[..len]);
                    assert_eq!(bench.sim.block_on(write), Ok(()), "{what}");
                    assert!(bench.holds(first, len), "{what} {first}+{len}");
                    bench.wipe();
                    let read = card.read(u64::from(first), &bench.back[..len]);
                    assert_eq!(bench.sim.block_on(read), Ok(()), "{what}");
                    assert!(bench.same(len), "{what} {first}+{len}");
                }
                assert_eq!(card.health().last_error, None, "{what}");
                assert_eq!(bench.sim.card().state(), State::Transfer);
                bench.assert_clean();
            }
        }
    }
}
