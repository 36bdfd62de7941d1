//! Builds, checks and runs the firmware: `cargo xtask help`.

#![forbid(unsafe_code)]

mod allocate;
mod archive;
mod config;
mod dist;
mod elf;
mod environment;
mod firmware;
mod hash;
mod image;
mod kconfig;
mod linker;
mod process;
mod progress;
mod slots;
mod stamp;
mod toolchain;
mod tree;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, checks and runs the firmware"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build an application: image, archive, and an ELF file for QEMU
    Dist {
        /// The application
        #[arg(default_value = "app.toml")]
        app: PathBuf,
        /// Let paths of this machine be in the image
        #[arg(long)]
        dangerously_skip_path_check: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Dist {
            app,
            dangerously_skip_path_check,
        } => {
            let mut build = dist::Build::open(&app)?;
            build.skip_path_check = dangerously_skip_path_check;
            for product in build.dist()? {
                println!("{}", product.archive.display());
            }
            Ok(())
        }
    }
}
