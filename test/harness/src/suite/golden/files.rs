//! The files of `test/golden`: compressed, and in parts that the check of the tree accepts.

use crate::paths;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Length of a part in bytes.
const PART: usize = 500 << 10;
/// Length of the longest content in bytes: it bounds what a damaged file makes.
const CONTENT_MAX: u64 = 64 << 20;
/// The name of the file with the archives.
const BUILDS: &str = "builds";

/// The folder.
pub fn folder() -> PathBuf {
    paths::root().join("test/golden")
}

fn part(name: &str, number: usize) -> PathBuf {
    folder().join(format!("{name}.zst.{number}"))
}

/// The content of a file.
pub fn read(name: &str) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    for number in 0.. {
        let path = part(name, number);
        if number > 0 && !path.exists() {
            break;
        }
        packed.extend(fs::read(&path).with_context(|| paths::shown(&path))?);
    }
    let decoder = ruzstd::decoding::StreamingDecoder::new(&*packed)
        .map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
    let mut content = Vec::new();
    decoder.take(CONTENT_MAX).read_to_end(&mut content)?;
    Ok(content)
}

/// Replaces a file.
pub fn write(name: &str, content: &[u8]) -> Result<()> {
    fs::create_dir_all(folder())?;
    for number in (0..).take_while(|number| part(name, *number).exists()) {
        fs::remove_file(part(name, number))?;
    }
    for (number, bytes) in compress(content)?.chunks(PART).enumerate() {
        fs::write(part(name, number), bytes)?;
    }
    Ok(())
}

/// By the program `zstd`, which compresses far better than the crate that decompresses.
fn compress(content: &[u8]) -> Result<Vec<u8>> {
    let mut source = tempfile::NamedTempFile::new()?;
    source.write_all(content)?;
    let output = Command::new("zstd")
        .args(["--ultra", "-22", "--long=24", "--single-thread", "--stdout"])
        .arg(source.path())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run `zstd`, which compresses the cards; install the package zstd")?;
    ensure!(output.status.success(), "zstd failed: {}", output.status);
    Ok(output.stdout)
}

/// A zip file without compression, with these members: so they are compressed together.
pub fn zip(comment: &str, members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.set_comment(comment)?;
    // Without the time of day: the same content is the same file.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(name.as_str(), options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Replaces the archives, each with its file name.
pub fn write_builds(archives: &[(String, Vec<u8>)]) -> Result<()> {
    write(BUILDS, &zip("", archives)?)
}

/// Writes the archives into a new folder.
pub fn unpack_builds(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut zip = ZipArchive::new(Cursor::new(read(BUILDS)?))?;
    for index in 0..zip.len() {
        let mut member = zip.by_index(index)?;
        let name = member.name()?.into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
