//! The host tool, on a card whose image is a file.

use crate::MemoryCard;
use block_device::{BLOCK_LEN, PolledDevice};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The file of a card's image, and the files beside it.
pub struct ImageFile {
    folder: TempDir,
    file: File,
    original: MemoryCard,
}

impl ImageFile {
    /// Writes the image of a card.
    ///
    /// # Panics
    /// The file cannot be written.
    #[must_use]
    pub fn new(card: &MemoryCard) -> Self {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = TempDir::new_in(parent).expect("a folder");
        let file = File::create_new(folder.path().join("card.img")).expect("an image");
        file.set_len(card.block_count() * BLOCK_LEN as u64)
            .expect("an image");
        for number in 0..card.block_count() {
            let block = card.block(number);
            if block != [0; BLOCK_LEN] {
                file.write_all_at(&block, number * BLOCK_LEN as u64)
                    .expect("a block");
            }
        }
        Self {
            folder,
            file,
            original: card.settled(),
        }
    }

    /// A file in the folder of the image.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the image into that of `card`, which is a changed clone of the original, calls
    /// `with` with its path, and changes it back.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn changed(&self, card: &MemoryCard, with: impl FnOnce(&str)) {
        let write = |number: u64, block: &[u8; BLOCK_LEN]| {
            self.file
                .write_all_at(block, number * BLOCK_LEN as u64)
                .expect("a block");
        };
        for number in card.written() {
            write(number, &card.block(number));
        }
        with(
            self.folder
                .path()
                .join("card.img")
                .to_str()
                .expect("a path of text"),
        );
        for number in card.written() {
            write(number, &self.original.block(number));
        }
    }

    /// The card that was given to [`ImageFile::new`].
    #[must_use]
    pub fn original(&self) -> &MemoryCard {
        &self.original
    }
}

/// Runs the host tool. Whether it succeeds does not matter: it does not panic, and it ends.
pub fn crashlog(arguments: &[&str]) {
    let _ = crashlog::run(std::iter::once("crashlog").chain(arguments.iter().copied()));
}
