//! Files that hold a card in another form than block by block, and devices beside a card.
//!
//! They are recognised to say how to get at the card. None of them is read.

use crate::image::Image;
use std::path::Path;

/// A form: what a file of it begins with, its name, and the command that makes an image of it. `{}`
/// stands for the file.
struct Form {
    offset: usize,
    magic: &'static [u8],
    name: &'static str,
    command: &'static str,
}

const fn form(magic: &'static [u8], name: &'static str, command: &'static str) -> Form {
    Form {
        offset: 0,
        magic,
        name,
        command,
    }
}

const CONVERT: &str = "qemu-img convert -O raw {} card.img";

const FORMS: [Form; 15] = [
    form(b"\x1f\x8b", "compressed by gzip", "gzip -dc {} > card.img"),
    form(b"\xfd7zXZ\0", "compressed by xz", "xz -dc {} > card.img"),
    form(
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd",
        "zstd -dc {} > card.img",
    ),
    form(b"BZh", "compressed by bzip2", "bzip2 -dc {} > card.img"),
    form(
        b"\x04\x22\x4d\x18",
        "compressed by lz4",
        "lz4 -dc {} > card.img",
    ),
    form(b"LZIP", "compressed by lzip", "lzip -dc {} > card.img"),
    form(b"PK\x03\x04", "a zip archive", "unzip -p {} > card.img"),
    form(
        b"7z\xbc\xaf\x27\x1c",
        "a 7z archive",
        "7z e -so {} > card.img",
    ),
    form(b"QFI\xfb", "a qcow2 image", CONVERT),
    form(
        b"\x3a\xff\x26\xed",
        "an Android sparse image",
        "simg2img {} card.img",
    ),
    form(b"conectix", "a VHD image", CONVERT),
    form(b"vhdxfile", "a VHDX image", CONVERT),
    form(b"KDMV", "a VMDK image", CONVERT),
    Form {
        offset: 64,
        magic: b"\x7f\x10\xda\xbe",
        name: "a VDI image",
        command: CONVERT,
    },
    Form {
        offset: 257,
        magic: b"ustar",
        name: "a tar archive",
        command: "tar -xOf {} > card.img",
    },
];

/// What an image is that is no card, and what to do; `None` if it is none of the known.
pub fn recognised(image: &Image) -> Option<String> {
    let path = image.path();
    if let Some(card) = part_of_card(path) {
        return Some(format!(
            "is a hardware partition of an eMMC, which has no crashlog partition; name the card, {card}"
        ));
    }
    let mut head = [0; 512];
    // Of a file that is shorter, the rest is zeros.
    image.read_head(&mut head);
    let form = FORMS.iter().find(|form| {
        let from = head.get(form.offset..);
        from.is_some_and(|from| from.starts_with(form.magic))
    })?;
    let command = form.command.replace("{}", &quoted(path));
    Some(format!(
        "is {}, not the blocks of a card; unpack it: {command}",
        form.name
    ))
}

/// The path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) && !text.starts_with('-') {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// The card that a hardware partition (`mmcblk0boot0`, `mmcblk0rpmb`, `mmcblk0gp1`) belongs to.
fn part_of_card(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("mmcblk")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (number, part) = rest.split_at_checked(end)?;
    let is_numbered = |prefix| {
        part.strip_prefix(prefix)
            .is_some_and(|rest: &str| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_hardware = part == "rpmb" || is_numbered("boot") || is_numbered("gp");
    (is_hardware && !number.is_empty()).then(|| format!("/dev/mmcblk{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_partitions_name_their_card() {
        let of = |name| part_of_card(Path::new(name));
        for name in ["/dev/mmcblk0boot0", "/dev/mmcblk0rpmb", "mmcblk0gp3"] {
            assert_eq!(of(name).as_deref(), Some("/dev/mmcblk0"), "{name}");
        }
        assert_eq!(of("/dev/mmcblk12boot1").as_deref(), Some("/dev/mmcblk12"));
        for name in [
            "/dev/mmcblk0",
            "/dev/mmcblk0p1",
            "mmcblkboot0",
            "/dev/sda1",
            "mmcblk0bootx",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_path_is_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("a/card.img.gz")), "a/card.img.gz");
        assert_eq!(quoted(Path::new("my card's.gz")), "'my card'\\''s.gz'");
    }
}
