//! The host tool on a changed card with a snapshot: every command that reads, the core and the
//! report among them.
#![no_main]

use arbitrary::Unstructured;
use crashlog_fuzz::changes::{self, LogPlace};
use crashlog_fuzz::program::{ImageFile, crashlog};
use crashlog_fuzz::{MemoryCard, golden};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static IMAGES: Vec<(ImageFile, LogPlace)> = ["client-panic", "oops"]
        .into_iter()
        .map(|name| {
            let card = MemoryCard::of_image(&golden::content(name));
            let place = golden::place(&card);
            (ImageFile::new(&card), place)
        })
        .collect();
}

fuzz_target!(|input: &[u8]| {
    IMAGES.with(|images| {
        let mut input = Unstructured::new(input);
        let index = input.choose_index(images.len()).unwrap_or(0);
        let (image, place) = &images[index];
        let mut card = image.original().clone();
        let _ = changes::apply(&mut card, place, &mut input);
        let (core, page) = (image.beside("core"), image.beside("report.html"));
        let [core, page] = [&core, &page].map(|path| path.to_str().expect("a path of text"));
        image.changed(&card, |path| {
            crashlog(&["list", path]);
            crashlog(&["list", "--json", path]);
            crashlog(&["show", "--tasks", "all", path]);
            crashlog(&["show", "--json", path]);
            crashlog(&["boots", path]);
            crashlog(&["log", "--boot", "last", path]);
            crashlog(&["verify", path]);
            crashlog(&["dump", "--force", "-o", core, path]);
            crashlog(&["report", "--force", "-o", page, path]);
        });
    });
});
