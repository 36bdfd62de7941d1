//! Wrong input: one line that names it and the rule, and an exit code.

mod common;

use common::{Bench, Partition, STRAY_WRITE, crashlog, fails, ok};
use std::fs;
use std::path::Path;

const READING: [&[&str]; 4] = [&["list"], &["show"], &["log"], &["verify"]];

/// Runs every command that reads on `path`, and expects this code and these words.
fn all_fail(code: i32, path: &std::path::Path, words: &[&str]) {
    for command in READING {
        let line = fails(
            code,
            command
                .iter()
                .map(std::ffi::OsStr::new)
                .chain([path.as_os_str()]),
        );
        assert!(line.contains(path.to_str().expect("path")), "{line}");
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[test]
fn a_missing_image() {
    let bench = Bench::new();
    all_fail(4, &bench.path("none.img"), &["no such file"]);
}

#[test]
fn a_folder() {
    let bench = Bench::new();
    all_fail(2, &bench.path(""), &["is a directory"]);
}

#[test]
fn an_empty_file() {
    let bench = Bench::new();
    all_fail(3, &bench.zeros("empty.img", 0), &["is empty"]);
    all_fail(3, &bench.zeros("less.img", 100), &["is empty"]);
}

/// REQ: X5 (in part: what is no card is called what it is)
#[test]
fn a_card_in_another_form_is_named_with_the_command_that_unpacks_it() {
    let bench = Bench::new();
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let mut vdi = b"<<< Oracle VM VirtualBox Disk Image >>>\n".to_vec();
    vdi.resize(64, 0);
    vdi.extend(b"\x7f\x10\xda\xbe");
    let forms: [(&[u8], &str, &str); 10] = [
        (b"\x1f\x8b\x08", "compressed by gzip", "gzip -dc"),
        (b"\xfd7zXZ\0", "compressed by xz", "xz -dc"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc"),
        (b"PK\x03\x04", "a zip archive", "unzip -p"),
        (
            b"QFI\xfb\0\0\0\x03",
            "a qcow2 image",
            "qemu-img convert -O raw",
        ),
        (b"\x3a\xff\x26\xed", "an Android sparse image", "simg2img"),
        (b"conectix", "a VHD image", "qemu-img convert -O raw"),
        (b"vhdxfile", "a VHDX image", "qemu-img convert -O raw"),
        (&vdi, "a VDI image", "qemu-img convert -O raw"),
        (&tar, "a tar archive", "tar -xOf"),
    ];
    for (magic, name, command) in forms {
        // As long as a card, and shorter than a block.
        for length in [1 << 20, 300.max(magic.len())] {
            let path = bench.path("it's a card.img");
            let mut bytes = magic.to_vec();
            bytes.resize(length, 0);
            fs::write(&path, bytes).expect("write");
            for arguments in READING {
                let line = fails(
                    3,
                    arguments
                        .iter()
                        .map(std::ffi::OsStr::new)
                        .chain([path.as_os_str()]),
                );
                for words in [name, command, "'\\''s a card.img'"] {
                    assert!(line.contains(words), "{words}: {line}");
                }
            }
        }
    }
}

#[test]
fn an_image_of_a_card_in_the_partition_is_named() {
    let bench = Bench::new();
    let path = bench.formatted();
    let partition = Partition::open(&path);
    let whole = fs::read(&path).expect("read");
    for block in partition.geometry.superblocks() {
        partition.write(block, &[0x77; 512]);
    }
    partition.write(1, &whole[512..1024]);
    all_fail(
        3,
        &path,
        &["holds a partition table", "not into a partition"],
    );
}

#[test]
fn a_hardware_partition_of_an_emmc_is_named() {
    let bench = Bench::new();
    all_fail(
        3,
        &bench.zeros("mmcblk1boot0", 1 << 20),
        &["hardware partition", "/dev/mmcblk1"],
    );
}

/// To open a pipe would wait for a writer.
#[test]
fn a_pipe() {
    let bench = Bench::new();
    let path = bench.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    all_fail(2, &path, &["is a pipe"]);
}

/// The path is in the message, and what it has of control characters is not.
#[test]
fn a_name_with_control_characters() {
    let bench = Bench::new();
    for name in ["a\nb.img", "a\x1b[31mb.img", "a\u{202e}b.img"] {
        let line = fails(3, ["list".as_ref(), bench.zeros(name, 1 << 20).as_os_str()]);
        let is_shown = |c: char| c == '\n' || (' '..='~').contains(&c);
        assert!(line.chars().all(is_shown), "{line:?}");
    }
}

/// A full disk, and a terminal that is gone.
#[test]
fn output_that_cannot_be_written() {
    let bench = Bench::new();
    let path = bench.formatted();
    Partition::open(&path).crash(1, common::STRAY_WRITE, "worker");
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full")
    };
    for arguments in [&["list"][..], &["list", "--json"], &["show"], &["verify"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crashlog"));
        command.args(arguments).arg(&path).stdout(full());
        let output = command.output().expect("the tool runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("cannot write the output: No space left"),
            "{said}"
        );
        command.stderr(full());
        assert_eq!(command.status().expect("the tool runs").code(), Some(4));
    }
}

#[test]
fn data_of_another_kind() {
    let bench = Bench::new();
    all_fail(
        3,
        &bench.zeros("zeros.img", 1 << 20),
        &["not a card of the flight recorder"],
    );
    let path = bench.path("noise.img");
    let noise: Vec<u8> = (0..2_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    fs::write(&path, noise).expect("write");
    all_fail(3, &path, &["not a card of the flight recorder"]);
}

#[test]
fn a_truncated_image() {
    let bench = Bench::new();
    let path = bench.formatted();
    cut(&path, 1 << 20);
    all_fail(3, &path, &["is truncated", "16384 blocks"]);
}

/// As far as an image, or the file of a partition, goes, it is read, and not written.
#[test]
fn a_truncated_partition_is_read_as_far_as_it_goes() {
    let bench = Bench::new();
    for alone in [false, true] {
        let path = bench.formatted();
        // The second one is named by the ledger at the beginning of the partition.
        let mut partition = Partition::open(&path);
        partition.crash(1, STRAY_WRITE, "worker");
        partition.crash(2, STRAY_WRITE, "worker");
        drop(partition);
        let whole = fs::read(&path).expect("read");
        if alone {
            fs::write(&path, &whole[1 << 20..4 << 20]).expect("write");
        } else {
            cut(&path, 4 << 20);
        }
        let before = fs::read(&path).expect("read");
        let output = crashlog(["list", path.to_str().expect("path")]);
        assert_eq!(output.status.code(), Some(1));
        let list = String::from_utf8(output.stdout).expect("text");
        assert!(
            list.contains("worker") && list.contains("the image is truncated"),
            "{list}"
        );
        let line = fails(1, ["boots", path.to_str().expect("path")]);
        assert!(line.contains("is damaged"), "{line}");
        let line = fails(3, ["erase", path.to_str().expect("path"), "1"]);
        assert!(line.contains("is not written"), "{line}");
        let line = fails(3, ["format", "--any-size", path.to_str().expect("path")]);
        assert!(line.contains("--force"), "{line}");
        assert!(fs::read(&path).expect("read") == before);
        fs::remove_file(path).expect("remove");
    }
}

/// Cuts a file to this length in bytes.
fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(length))
        .expect("cut");
}

#[test]
fn a_card_without_a_crashlog_partition() {
    let bench = Bench::new();
    let path = bench.zeros("other.img", 8 << 20);
    let disk = gpt::GptConfig::new().writable(true);
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .expect("open");
    let mut disk = disk.create_from_device(file, None).expect("table");
    disk.add_partition("rootfs", 1 << 20, gpt::partition_types::LINUX_FS, 0, None)
        .expect("partition");
    disk.write().expect("write");
    all_fail(3, &path, &["no partition named \"crashlog\"", "--keep"]);
}

#[test]
fn a_partition_that_was_never_formatted() {
    let bench = Bench::new();
    let path = bench.formatted();
    let partition = Partition::open(&path);
    for block in partition.geometry.superblocks() {
        partition.write(block, &[0; 512]);
    }
    all_fail(3, &path, &["both superblocks", "are lost"]);
    for generation in [0, 1] {
        partition.write(partition.geometry.ledger(generation), &[0; 512]);
    }
    all_fail(3, &path, &["never formatted"]);
    for block in partition.geometry.superblocks() {
        partition.write(block, &[0x77; 512]);
    }
    all_fail(3, &path, &["holds something else"]);
}

#[test]
fn an_unknown_version() {
    let bench = Bench::new();
    let path = bench.formatted();
    let partition = Partition::open(&path);
    for block in partition.geometry.superblocks() {
        let mut bytes = partition.read(block);
        bytes[8] = 9;
        partition.write(block, &bytes);
    }
    all_fail(3, &path, &["format version 9", "knows version 1"]);
}

#[test]
fn sizes_that_qemu_refuses() {
    let bench = Bench::new();
    let path = bench.path("card.img");
    let path = path.to_str().expect("path");
    let line = fails(2, ["format", "--size", "100M", path]);
    assert!(
        line.contains("power of two") && line.contains("64 MiB") && line.contains("128 MiB"),
        "{line}"
    );
    assert!(fails(2, ["format", "--size", "64K", path]).contains("too small"));
    assert!(fails(2, ["format", "--size", "8388609", path]).contains("multiple of 512"));
    assert!(
        !std::path::Path::new(path).exists(),
        "nothing is left behind"
    );
    ok(["format", "--size", "100M", "--any-size", path]);
    let odd = bench.zeros("odd.img", 5 << 20);
    assert!(fails(2, ["format".as_ref(), odd.as_os_str()]).contains("power of two"));
}

#[test]
fn geometries_that_break_a_rule() {
    let bench = Bench::new();
    let path = bench.path("card.img");
    let path = path.to_str().expect("path");
    for (arguments, words) in [
        (["--slots", "2"], "2 crash slots: must be 3 to 22"),
        (["--slots", "23"], "23 crash slots: must be 3 to 22"),
        (["--slot-size", "1000"], "multiple of 512"),
        (["--slot-size", "6K"], "must be a multiple of 8"),
        (
            ["--slot-size", "1M"],
            "left for the stream ring: must be 128 or more",
        ),
    ] {
        let line = fails(
            2,
            ["format", "--size", "8M", path]
                .into_iter()
                .chain(arguments),
        );
        assert!(line.contains(words), "{line}");
        assert!(
            !std::path::Path::new(path).exists(),
            "nothing is left behind"
        );
    }
}

#[test]
fn a_size_for_an_existing_file() {
    let bench = Bench::new();
    let path = bench.formatted();
    let line = fails(2, ["format", "--size", "16M", path.to_str().expect("path")]);
    assert!(line.contains("--size does not apply"), "{line}");
}

#[test]
fn places_that_cannot_be_written() {
    let bench = Bench::new();
    let path = bench.path("no/such/folder/card.img");
    assert!(fails(4, ["format".as_ref(), path.as_os_str()]).contains("cannot create it"));
    assert!(fails(4, ["format", "/dev/no-such-device"]).contains("no such device"));
}

#[test]
fn crashes_that_do_not_exist() {
    let bench = Bench::new();
    let path = bench.formatted();
    let path = path.to_str().expect("path");
    assert!(fails(1, ["show", path]).contains("no crash record"));
    assert!(fails(1, ["show", path, "7"]).contains("no crash record 7"));
    assert!(fails(1, ["erase", path, "7"]).contains("no crash record 7"));
}

#[test]
fn archives_that_are_not_valid() {
    let bench = Bench::new();
    let path = bench.formatted();
    let path = path.to_str().expect("path");
    assert!(fails(4, ["log", path, "--archive", "/no/such.zip"]).contains("cannot open it"));
    assert!(fails(2, ["log", path, "--archive", path]).contains("not a Hubris build archive"));
    assert!(fails(2, ["log", path, "--task", "worker"]).contains("--archive"));
}

#[test]
fn invalid_command_lines() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["list"],
        &["log", "x", "--raw", "--json"],
        &["log", "x", "--stream", "nil"],
    ] {
        let output = crashlog(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    assert!(ok(["--help"]).contains("Exit codes:"));
}
