//! `qemu`: boots an image, with its serial line on the terminal

use crate::dist::{Build, Product};
use crate::process::find_in_path;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Boots `product` and returns when QEMU ends. `image` is the content of the card; without it there
/// is none.
pub fn run(
    build: &Build,
    product: &Product,
    image: Option<&Path>,
    extra: &[OsString],
) -> Result<()> {
    let substrate = &build.config.board.substrate;
    let arguments = &substrate.qemu;
    if arguments.is_empty() {
        bail!(
            "boards/{}.toml: substrate.qemu: missing; QEMU does not know this board",
            build.config.app.board
        );
    }
    let mut command = Command::new(find()?);
    command
        .args(arguments)
        .arg("-kernel")
        .arg(&product.qemu_elf);
    command.args(["-display", "none", "-serial", "mon:stdio"]);
    if let Some(image) = image {
        if !image.is_file() {
            bail!(
                "{}: no such file; make one with `crashlog format`",
                image.display()
            );
        }
        let index = substrate.qemu_card;
        let mut drive = OsString::from(format!("format=raw,if=sd,index={index},file="));
        // A comma ends the value, unless it is doubled.
        drive.push(image.to_string_lossy().replace(',', ",,"));
        command.arg("-drive").arg(drive);
    }
    // For ./x dump. The path of a Unix socket has at most 107 bytes.
    let socket = product.qmp_socket();
    if UnixStream::connect(&socket).is_ok() {
        eprintln!("another machine runs this image; ./x dump reaches that one and not this");
    } else if socket.as_os_str().len() < 100 {
        let mut option = OsString::from("unix:");
        option.push(socket.to_string_lossy().replace(',', ",,"));
        option.push(",server=on,wait=off");
        command.arg("-qmp").arg(option);
    } else {
        eprintln!(
            "{}: too long a name for a socket, so ./x dump will not find this machine",
            socket.display()
        );
    }
    command.args(extra);
    eprintln!("Ctrl-A X ends QEMU");
    let status = command.status().context("cannot run qemu-system-arm")?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(())
}

fn find() -> Result<PathBuf> {
    find_in_path("qemu-system-arm")
        .context("qemu-system-arm is not on PATH; run `./x setup`, or install QEMU 9.1 or newer")
}
