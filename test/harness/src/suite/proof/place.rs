//! Nothing in an archive says where or by whom it was built.

use super::archive::Archive;
use crate::paths;
use crate::suite::Cases;
use anyhow::{Context, Result, ensure};
use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection};
use std::env;
use std::path::{Path, PathBuf};

/// The names that the build gives to places of the machine. `/rust` is the source of `core`; a
/// compiled one that happened to be installed would come from `/rustc`.
const PLACES: [&str; 6] = [
    "/app",
    "/crashlog",
    "/crates.io",
    "/git",
    "/rust",
    "/target",
];

/// Checks that no program of the archive has a path of this machine, in debug information or
/// elsewhere.
pub fn names_no_place(archive: &Path) -> Result<Cases> {
    let private: Vec<String> = [
        paths::root().canonicalize().ok(),
        Some(paths::target()),
        home(),
        cargo_home(),
    ]
    .into_iter()
    .flatten()
    .filter(|path| path.components().count() > 1)
    .map(|path| format!("{}/", path.display()))
    .collect();
    let mut units = 0;
    for (name, bytes) in Archive::read(archive)?.members() {
        for path in &private {
            let found = bytes
                .windows(path.len())
                .any(|window| window == path.as_bytes());
            ensure!(!found, "{name} contains {path}");
        }
        if name.starts_with("elf/") {
            for folder in compiled_in(bytes).with_context(|| name.clone())? {
                let known = PLACES.iter().any(|place| {
                    let rest = folder.strip_prefix(place);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                });
                ensure!(known, "{name} has code that was compiled in {folder}");
                units += 1;
            }
        }
    }
    ensure!(units > 0, "the programs have no debug information");
    Ok(Cases::one())
}

/// The folder in which each unit of a program was compiled.
fn compiled_in(elf: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(elf)?;
    let section = |id: gimli::SectionId| -> Result<EndianSlice<'_, LittleEndian>> {
        let found = file.section_by_name(id.name());
        let data = found.map(|section| section.data()).transpose()?;
        Ok(EndianSlice::new(data.unwrap_or(&[]), LittleEndian))
    };
    let dwarf = gimli::Dwarf::load(section)?;
    let mut folders = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next()? {
        let unit = dwarf.unit(header)?;
        let folder = unit.comp_dir.context("a unit has no folder")?;
        folders.push(folder.to_string_lossy().into_owned());
    }
    Ok(folders)
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from)
}

fn cargo_home() -> Option<PathBuf> {
    let set = env::var_os("CARGO_HOME").map(PathBuf::from);
    set.or_else(|| Some(home()?.join(".cargo")))
}
