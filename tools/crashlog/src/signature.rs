//! Recognises what a card or a partition holds, by its first blocks.

use crate::image::Image;
use crate::problem::Problem;
use block_device::BLOCK_LEN;

/// A file system, or something like it: offset and bytes of its signature.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (512, b"EFI PART", "a partition table (GPT)"),
    (
        1024 + 56,
        &[0x53, 0xef],
        "an ext2, ext3 or ext4 file system",
    ),
    (1024, &[0x10, 0x20, 0xf5, 0xf2], "an F2FS file system"),
    (0, b"XFSB", "an XFS file system"),
    (0x1_0040, b"_BHRfS_M", "a Btrfs file system"),
    (0, b"hsqs", "a SquashFS file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (54, b"FAT", "a FAT file system"),
    (82, b"FAT32", "a FAT file system"),
    (0, b"LUKS\xba\xbe", "an encrypted LUKS volume"),
    (4086, b"SWAPSPACE2", "swap space"),
    (510, &[0x55, 0xaa], "a boot sector or an MBR"),
];

/// Number of bytes that hold every signature.
const HEAD: usize = 0x1_0200;

/// What the image holds; `None` if it is not recognised.
pub fn of(image: &Image) -> Result<Option<&'static str>, Problem> {
    let blocks = image.blocks().min((HEAD / BLOCK_LEN) as u64);
    let mut head = vec![0; blocks as usize * BLOCK_LEN];
    image.read_at(0, &mut head)?;
    let found = KNOWN
        .iter()
        .find(|(at, bytes, _)| head.get(*at..at + bytes.len()) == Some(*bytes));
    Ok(found.map(|(_, _, what)| *what))
}
