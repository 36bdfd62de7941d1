//! The ELF file of the task that failed, with debug information: sections of a real one, changed.
#![no_main]

use crashlog_fuzz::program::{ImageFile, crashlog};
use crashlog_fuzz::{MemoryCard, golden};
use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

thread_local! {
    static IMAGE: ImageFile =
        ImageFile::new(&MemoryCard::of_image(&golden::content("client-panic")));
    static APP: Vec<u8> = golden::member("demo.zip", "app.toml");
}

/// The task whose panic is on the card.
const TASK: &str = "elf/task/worker";

fuzz_target!(|input: &[u8]| {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let _ = zip.set_comment("hubris build archive v11");
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    APP.with(|app| {
        for (name, bytes) in [
            ("app.toml", &**app),
            ("image-name", b"default"),
            (TASK, input),
            ("elf/kernel", input),
        ] {
            if zip.start_file(name, options).is_ok() {
                let _ = zip.write_all(bytes);
            }
        }
    });
    let archive = zip.finish().map(Cursor::into_inner).unwrap_or_default();
    IMAGE.with(|image| {
        let path = image.beside("archive.zip");
        std::fs::write(&path, archive).expect("an archive");
        let path = path.to_str().expect("a path of text");
        image.changed(image.original(), |card| {
            crashlog(&[
                "show",
                "--archive",
                path,
                "--archive-mismatch-ok",
                "--tasks",
                "all",
                card,
            ]);
        });
    });
});
