//! Builds, checks and runs the firmware: `cargo xtask help`
//!
//! An application is described by `app.toml` ([`config`]); [`dist`] makes an image from it. The
//! verbs are in [`verbs`]. What reads the results is in crates beside this one: `build/elf` (ELF
//! files), `build/stack-depth` (stack bounds), `build/archive-check` (build archives),
//! `build/emergency-proof` (the proof of the emergency path), `build/system-dump` (dumps), and for
//! the source tree `build/parts` and `build/tree-check`.

#![forbid(unsafe_code)]

mod allocate;
mod archive;
mod config;
mod crash_regions;
mod dist;
mod environment;
mod firmware;
mod hash;
mod image;
mod image_id;
mod kconfig;
mod linker;
mod output;
mod process;
mod progress;
mod reason;
mod secrets;
mod slots;
mod stamp;
#[cfg(test)]
mod testing;
mod toolchain;
mod tree;
mod verbs;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use dist::{Build, Product};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use verbs::{check_emergency, compile, external, gdb, graph, lint, print, qemu, sizes};

/// The application at the top of the tree.
const DEFAULT_APP: &str = "app.toml";

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
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
        /// Let paths of this machine be in the image
        #[arg(long)]
        dangerously_skip_path_check: bool,
    },
    /// Compile tasks without making an image
    Build {
        /// The tasks; default: all
        tasks: Vec<String>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
        /// List the tasks and compile nothing
        #[arg(short, long)]
        list: bool,
    },
    /// Document tasks, with what is private in them
    Doc {
        /// The tasks; default: all
        tasks: Vec<String>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Run clippy over tasks and kernel, warnings being errors
    Clippy {
        /// The tasks, or "kernel"; default: all
        tasks: Vec<String>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Flash, RAM and stack of each task, in bytes
    Sizes {
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
        /// Show the deepest chain of calls of this task instead
        #[arg(long)]
        stack: Option<String>,
    },
    /// Prove from the binary what the recorder's emergency path does not do
    CheckEmergency {
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Write the memory of a running QEMU to a file that Humility opens
    Dump {
        /// The file; default: the first hubris.core.N that is free
        output: Option<PathBuf>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
        /// The machine's QMP socket; default: that of `qemu`
        #[arg(long)]
        qmp: Option<PathBuf>,
        /// The archive of the running image; default: that of the last build of the application
        #[arg(long)]
        archive: Option<PathBuf>,
    },
    /// Check that a build archive is as Humility needs it
    CheckArchive {
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
        /// Check this archive instead of building one
        #[arg(long)]
        archive: Option<PathBuf>,
    },
    /// Which task each slot is bound to
    TaskSlots {
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Who sends to whom, for Graphviz
    Graph {
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Run gdb with all symbols, on a dump or on `qemu -- -s`
    Gdb {
        /// The dump, with whose programs it runs; without it, the machine at port 1234 of this host
        dump: Option<PathBuf>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// A fact about an application
    Print {
        fact: print::Fact,
        #[arg(default_value = DEFAULT_APP)]
        app: PathBuf,
    },
    /// Boot an application in QEMU, its serial line on this terminal
    Qemu {
        /// Content of the eMMC device; without it there is none
        #[arg(long)]
        image: Option<PathBuf>,
        #[arg(long, default_value = DEFAULT_APP)]
        app: PathBuf,
        /// More arguments for QEMU
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Run `humility` on the archive
    Humility {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Check the source tree, format, clippy and documentation of the whole workspace
    Lint,
    /// Crash, restart, and read the crash back, in QEMU
    Demo {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run every test, on the host and in QEMU
    Test {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run every row of the fault matrix, and write doc/fault-matrix.md
    FaultMatrix {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Make the golden cards anew, and what the host tool prints of them
    Golden {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write the tests that prove each requirement into doc/requirements.md
    Requirements,
    /// Count instructions
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    #[command(hide = true)]
    Flash(Refused),
    #[command(hide = true)]
    Lsp(Refused),
    #[command(hide = true)]
    RustAnalyzer(Refused),
    #[command(hide = true)]
    GhaPrepareArtifacts(Refused),
    #[command(hide = true)]
    I2cCodegen(Refused),
}

/// Any arguments, of a verb that is refused.
#[derive(Args)]
struct Refused {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
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
            let mut build = Build::open(&app)?;
            build.skip_path_check = dangerously_skip_path_check;
            for product in build.dist()? {
                output::print(&format!("{}\n", product.archive.display()))?;
            }
            Ok(())
        }
        Verb::Build { tasks, app, list } => {
            let build = Build::open(&app)?;
            if list {
                return compile::list(&build);
            }
            compile::build(&build, &tasks)
        }
        Verb::Doc { tasks, app } => {
            let folder = compile::doc(&Build::open(&app)?, &tasks)?;
            output::print(&format!("{}\n", folder.display()))
        }
        Verb::Clippy { tasks, app } => compile::clippy(&built(&app)?.0, &tasks),
        Verb::Sizes { app, stack } => {
            let build = Build::open(&app)?;
            let product = build.first_product()?;
            match stack {
                Some(task) => sizes::print_chain(&build, &product, &task),
                None => sizes::print(&build, &product),
            }
        }
        Verb::CheckEmergency { app } => {
            let (build, product) = built(&app)?;
            check_emergency::run(&build, &product)
        }
        Verb::Dump {
            output,
            app,
            qmp,
            archive,
        } => {
            let product = Build::open(&app)?.first_product()?;
            let archive = archive.unwrap_or_else(|| product.archive.clone());
            let qmp = qmp.unwrap_or_else(|| product.qmp_socket());
            let output = build_system_dump::run(&archive, &qmp, output.as_deref())?;
            output::print(&format!("{}\n", output.display()))
        }
        Verb::CheckArchive { app, archive } => {
            let archive = match archive {
                Some(archive) => archive,
                None => built(&app)?.1.archive,
            };
            output::print(&build_archive_check::run(&archive)?)
        }
        Verb::TaskSlots { app } => {
            let (build, product) = built(&app)?;
            print::task_slots(&build, &product)
        }
        Verb::Graph { app } => output::print(&graph::dot(&Build::open(&app)?.config)),
        Verb::Gdb {
            dump: Some(dump), ..
        } => gdb::on_dump(&dump),
        Verb::Gdb { dump: None, app } => {
            let (build, product) = built(&app)?;
            gdb::on_machine(&build, &product)
        }
        Verb::Print { fact, app } => print::print(&Build::open(&app)?, fact),
        Verb::Qemu {
            image,
            app,
            arguments,
        } => {
            let (build, product) = built(&app)?;
            qemu::run(&build, &product, image.as_deref(), &arguments)
        }
        Verb::Humility { arguments } => {
            external::humility(&built(Path::new(DEFAULT_APP))?.1, &arguments)
        }
        Verb::Lint => lint::lint(&built(Path::new(DEFAULT_APP))?.0),
        Verb::Demo { arguments } => harness("demo", &arguments),
        Verb::Test { arguments } => harness("test", &arguments),
        Verb::FaultMatrix { arguments } => harness("fault-matrix", &arguments),
        Verb::Golden { arguments } => harness("golden", &arguments),
        Verb::Requirements => verbs::tree::write_requirements(&tree::Tree::find()?),
        Verb::Bench { arguments } => harness("bench", &arguments),
        Verb::Flash(_) => external::refuse("flash"),
        Verb::Lsp(_) => external::refuse("lsp"),
        Verb::RustAnalyzer(_) => external::refuse("rust-analyzer"),
        Verb::GhaPrepareArtifacts(_) => external::refuse("gha-prepare-artifacts"),
        Verb::I2cCodegen(_) => external::refuse("i2c-codegen"),
    }
}

/// The application, up to date, and its first image.
fn built(app: &Path) -> Result<(Build, Product)> {
    let build = Build::open(app)?;
    let product = build
        .dist()?
        .into_iter()
        .next()
        .context("the application has no image")?;
    Ok((build, product))
}

/// Builds the application and runs the harness, which builds the applications of its own suites
/// itself.
fn harness(verb: &str, arguments: &[OsString]) -> Result<()> {
    let (build, _) = built(Path::new(DEFAULT_APP))?;
    external::harness(&build.tree, verb, arguments)
}
