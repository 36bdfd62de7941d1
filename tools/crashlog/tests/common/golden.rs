//! The cards and archives of `test/golden`: crashes of real firmware.

use super::Bench;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// The content of a file of the folder.
fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/golden");
    let parts = (0..).map(|number| folder.join(format!("{name}.zst.{number}")));
    let parts = parts.take_while(|path| path.exists());
    let packed: Vec<u8> = parts
        .flat_map(|path| fs::read(path).expect("a part"))
        .collect();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&*packed).expect("zstd");
    let mut content = Vec::new();
    decoder.read_to_end(&mut content).expect("zstd");
    content
}

/// A card.
pub fn card(bench: &Bench, name: &str) -> PathBuf {
    let path = bench.path("golden.img");
    fs::write(&path, read(name)).expect("card");
    path
}

/// The archive `demo.zip` or `saboteur.zip`.
pub fn archive(bench: &Bench, name: &str) -> PathBuf {
    let mut zip = ZipArchive::new(Cursor::new(read("builds"))).expect("zip");
    let path = bench.path(name);
    let mut file = File::create(&path).expect("archive");
    std::io::copy(&mut zip.by_name(name).expect("archive"), &mut file).expect("archive");
    path
}
