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
        command.arg("-drive").arg(card(substrate.qemu_card, image));
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

/// The argument for the card with this index.
fn card(index: u32, image: &Path) -> String {
    // A comma ends the value, unless it is doubled.
    let file = image.to_string_lossy().replace(',', ",,");
    format!("format=raw,if=sd,index={index},file={file}")
}

fn find() -> Result<PathBuf> {
    find_in_path("qemu-system-arm")
        .context("qemu-system-arm is not on PATH; run `./x setup`, or install QEMU 9.1 or newer")
}

#[cfg(test)]
mod tests {
    use super::card;
    use std::path::Path;

    #[test]
    fn the_card_is_at_the_boards_index() {
        let argument = card(2, Path::new("one,two.img"));
        assert_eq!(argument, "format=raw,if=sd,index=2,file=one,,two.img");
    }
}
