//! The build archive: a zip file with what a debugger needs to know about an image

use crate::config::Config;
use anyhow::{Context, Result};
use build_elf::Elf;
use indexmap::IndexMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Humility recognises a build archive by exactly this comment of the zip file.
const COMMENT: &str = "hubris build archive v11";

const README: &str = "\
This is a build archive: all that a debugger has to know about one image.

  app.toml, chip.toml, memory.toml   configuration, as it was built
  git-rev, image-name                which sources, which image
  elf/kernel, elf/task/*             programs with debug information, tasks in the order of their indices
  img/final.elf, img/final.bin       the image
  img/flash.ron                      what a debug probe has to know about the chip
";

/// The content of an archive, beside the configuration.
pub struct Contents<'a> {
    pub image: &'a str,
    pub git_revision: &'a str,
    pub kernel: &'a Elf,
    /// In the order of their indices, because Humility takes the position for the index.
    pub tasks: &'a IndexMap<String, Elf>,
    pub final_elf: &'a [u8],
    pub final_bin: &'a [u8],
    /// The files that tasks name in `copy-to-archive`: task, name and bytes.
    pub files: &'a [(String, String, Vec<u8>)],
}

/// Writes the archive to `path`.
pub fn write(config: &Config, contents: &Contents<'_>, path: &Path) -> Result<()> {
    // Renamed when it is complete, so that no debugger reads a part of it.
    let partial = path.with_extension("zip.partial");
    let file =
        File::create(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let mut zip = Members(ZipWriter::new(file));
    zip.0.set_comment(COMMENT)?;

    zip.add("README.TXT", README.as_bytes())?;
    zip.add("git-rev", contents.git_revision.as_bytes())?;
    zip.add("image-name", contents.image.as_bytes())?;
    for (name, text) in configuration(config)? {
        zip.add(name, text.as_bytes())?;
    }
    for (name, elf) in contents.tasks {
        zip.add(&format!("elf/task/{name}"), elf.data())?;
    }
    zip.add("elf/kernel", contents.kernel.data())?;
    zip.add("img/final.elf", contents.final_elf)?;
    zip.add("img/final.bin", contents.final_bin)?;
    zip.add("img/flash.ron", flash_ron(config).as_bytes())?;
    for (task, name, bytes) in contents.files {
        zip.add(&format!("task/{task}/{name}"), bytes)?;
    }
    let chip = config
        .path
        .parent()
        .unwrap_or(Path::new(""))
        .join(&config.app.chip);
    for name in ["openocd.cfg", "openocd.gdb"] {
        if let Ok(bytes) = fs::read(chip.join(name)) {
            zip.add(&format!("debug/{name}"), &bytes)?;
        }
    }
    zip.0
        .finish()
        .with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The configuration as it was built: names in the archive, and contents.
pub fn configuration(config: &Config) -> Result<[(&'static str, String); 3]> {
    Ok([
        ("app.toml", toml::to_string(&config.manifest)?),
        ("chip.toml", toml::to_string(&config.chip)?),
        ("memory.toml", toml::to_string(&config.memory)?),
    ])
}

struct Members(ZipWriter<File>);

impl Members {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        // Deflate, as in upstream's later archives: much faster than bzip2 and little larger. All
        // times are the same, so that the same sources make the same archive.
        let options = SimpleFileOptions::DEFAULT
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default());
        self.0.start_file(name, options)?;
        self.0.write_all(bytes)?;
        Ok(())
    }
}

fn flash_ron(config: &Config) -> String {
    let chip = config.board.probe_rs.as_ref().map(|probe| &probe.chip_name);
    format!("(chip: {chip:?})")
}

/// The commit that is checked out, with `-dirty` if a file of it was changed; "unknown" without
/// Git. It is part of the image, so a file that is not of the commit, which the build does not see
/// unless a changed file leads to it, does not count.
pub fn git_revision(root: &Path) -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        // Set by a Git that runs a hook, maybe of another repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        let output = command
            .env("GIT_OPTIONAL_LOCKS", "0")
            .arg("-C")
            .arg(root)
            .args(args)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return "unknown".into();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}-dirty"),
    }
}

#[cfg(test)]
mod tests {
    use super::flash_ron;
    use crate::testing::Files;

    #[test]
    fn a_probe_is_told_the_chip() {
        let mut files = Files::good();
        assert_eq!(flash_ron(&files.load().expect("good")), "(chip: None)");
        files
            .board
            .push_str("[probe-rs]\nchip-name = \"AST2600\"\n");
        assert_eq!(
            flash_ron(&files.load().expect("good")),
            "(chip: Some(\"AST2600\"))"
        );
    }
}
