//! Writes the inputs that the fuzz targets begin with, from the golden cards and their archives:
//! `cargo run --example seeds` in this folder. To be run when the format or the golden cards have
//! changed. Inputs that the fuzzer has found have other names and are kept.

use crashlog_fuzz::changes::LogPlace;
use crashlog_fuzz::{MemoryCard, golden};
use std::fs;
use std::path::Path;

/// Inputs that are longer are not made: libFuzzer would cut them off.
const LONGEST: usize = 16_384;

fn main() {
    let card = MemoryCard::of_image(&golden::content("client-panic"));
    let place = golden::place(&card);
    structures(&card, &place);
    tables(&card);
    write(
        "debug_info",
        "idle",
        &golden::member("demo.zip", "elf/task/idle"),
    );
    archives();
    // Changes: each kind once, with a right checksum.
    for target in ["mount", "report"] {
        for kind in 0..7_u8 {
            let mut input = Vec::new();
            for index in 0..3_u32 {
                // The number of an enumeration's variant is the upper part of a word.
                input.extend((u32::from(kind) * (u32::MAX / 7) + 1).to_le_bytes());
                input.extend(index.to_le_bytes());
                input.extend(16_u16.to_le_bytes());
                input.extend([4, 1, 1, 0, 0, 0]);
            }
            write(target, &format!("change-{kind}"), &input);
        }
    }
    for kind in 0..7_u8 {
        let steps = (0..120_u32).flat_map(|step| {
            let [a, b, c, _] = step.wrapping_mul(0x9E37_79B1).to_le_bytes();
            [kind << 1 | u8::from(step % 4 == 0), a, b, c]
        });
        write(
            "messages",
            &format!("kind-{kind}"),
            &steps.collect::<Vec<_>>(),
        );
    }
    for block in 0..6_u16 {
        let mut input = Vec::new();
        for word in 0..8_u8 {
            input.extend((block * 3).to_le_bytes());
            input.extend([word, 9]);
        }
        write("retained", &format!("block-{block}"), &input);
    }
}

/// Blocks of each structure.
fn structures(card: &MemoryCard, place: &LogPlace) {
    let at = |block: u32| card.block(place.first + u64::from(block));
    for page in 0..place.pages.min(4) {
        write(
            "page",
            &format!("page-{page}"),
            &at(place.geometry.page(page)),
        );
    }
    let slots = place.geometry.slots();
    for generation in 0..2 {
        let mut input = (slots - 2).to_le_bytes().to_vec();
        input.extend(at(place.geometry.ledger(generation)));
        for change in 0..6_u32 {
            input.extend((change * (u32::MAX / 6) + 1).to_le_bytes());
            input.extend([1, 0, 0, 0, 1, 0, 2, 0]);
        }
        write("ledger", &format!("ledger-{generation}"), &input);
    }
    let slot = place.geometry.slot(0).expect("a first slot");
    for block in 0..place.geometry.slot_blocks() {
        let bytes = at(slot + block);
        if bytes.starts_with(b"CL") {
            write("crash", &format!("block-{block}"), &bytes);
        }
    }
}

/// What `targets/partition_table.rs` takes for block 0, and for a primary and a backup table.
fn tables(card: &MemoryCard) {
    for kind in [0b11_u8, 0b01, 0b10] {
        let mut input = vec![1];
        input.extend(&card.block(0)[446..]);
        for copy in 0..2 {
            input.push(kind >> copy & 1);
            if kind >> copy & 1 == 0 {
                continue;
            }
            // One entry, ours, of blocks 2048 to 4000; three that are not in use.
            input.push(3);
            for entry in 0..4_u8 {
                input.extend([if entry == 1 { 1 } else { 0 }]);
                if entry == 1 {
                    input.extend([0x00, 0x08, 0xa0, 0x0f]);
                }
            }
            input.extend([34, 0, 0xde, 0x0f, 2, 0]);
        }
        write("partition_table", &format!("table-{kind}"), &input);
    }
}

/// Members of a real archive that are short.
fn archives() {
    let mut input = vec![11];
    for name in ["app.toml", "image-name", "git-rev"] {
        let bytes = golden::member("demo.zip", name);
        input.extend((bytes.len() as u16).to_le_bytes());
        input.extend(bytes);
    }
    let idle = golden::member("demo.zip", "elf/task/idle");
    write("archive", "texts", &input);
    let room = LONGEST.saturating_sub(input.len() + 2).min(idle.len());
    input.extend((room as u16).to_le_bytes());
    input.extend(&idle[..room]);
    write("archive", "texts-and-kernel", &input);
}

fn write(target: &str, name: &str, input: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder");
    assert!(
        input.len() <= LONGEST,
        "{target}/{name}: {} bytes",
        input.len()
    );
    fs::write(folder.join(name), input).expect("an input");
}
