//! A build archive that is given to the host tool: its members are anything.
#![no_main]

use arbitrary::Unstructured;
use crashlog_fuzz::program::{ImageFile, crashlog};
use crashlog_fuzz::{MemoryCard, golden};
use libfuzzer_sys::fuzz_target;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

thread_local! {
    static IMAGE: ImageFile =
        ImageFile::new(&MemoryCard::of_image(&golden::content("client-panic")));
}

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let archive = make(&mut input).unwrap_or_default();
    IMAGE.with(|image| {
        let path = image.beside("archive.zip");
        std::fs::write(&path, archive).expect("an archive");
        let path = path.to_str().expect("a path of text");
        image.changed(image.original(), |card| {
            crashlog(&["show", "--archive", path, "--archive-mismatch-ok", card]);
            crashlog(&[
                "log",
                "--archive",
                path,
                "--archive-mismatch-ok",
                "--boot",
                "last",
                card,
            ]);
        });
    });
});

/// Members by name, with the rest of the input divided among them.
fn make(input: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    const NAMES: [&str; 6] = [
        "app.toml",
        "image-name",
        "git-rev",
        "elf/kernel",
        "elf/task/jefe",
        "img/final.elf",
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let comment = match input.arbitrary::<u8>()? {
        0 => String::from_utf8_lossy(input.bytes(8)?).into_owned(),
        version => format!("hubris build archive v{}", version % 16),
    };
    let _ = zip.set_comment(comment);
    for name in NAMES {
        let length = usize::from(input.arbitrary::<u16>()?).min(input.len());
        if length == 0 {
            continue;
        }
        let options =
            SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        if zip.start_file(name, options).is_ok() {
            let _ = zip.write_all(input.bytes(length)?);
        }
    }
    Ok(zip.finish().map(Cursor::into_inner).unwrap_or_default())
}
