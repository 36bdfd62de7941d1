//! The files of the tree, and how large they may be

use crate::Finding;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest file that may be checked in, in bytes. Every clone downloads each version of it.
const LARGEST: u64 = 512 << 10;

/// Files that may be larger, each with the reason.
const LARGER: [(&str, &str); 0] = [];

/// The files that are under version control, or would be with the next commit.
#[derive(Debug)]
pub struct SourceTree {
    root: PathBuf,
    /// Relative to the top of the tree, sorted.
    files: Vec<String>,
}

impl SourceTree {
    /// Asks Git for the files of the tree at `root`. A tree that is not under version control is
    /// read from its folders, without `target` and those whose name begins with a dot.
    pub fn open(root: &Path) -> Result<Self> {
        let mut files = if root.join(".git").exists() {
            by_git(root)?
        } else {
            let mut files = Vec::new();
            by_folder(root, root, &mut files)?;
            files
        };
        // A file that was deleted is in Git's index until the next commit.
        files.retain(|path| root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(Self {
            root: root.to_path_buf(),
            files,
        })
    }

    /// The files whose path ends so.
    pub fn with_ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a str> {
        let files = self.files.iter().map(String::as_str);
        files.filter(move |path| path.ends_with(ending))
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> Result<String> {
        let place = self.root.join(path);
        fs::read_to_string(place).with_context(|| format!("{path}: cannot be read"))
    }

    /// Replaces the content of a file.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let place = self.root.join(path);
        fs::write(place, text).with_context(|| format!("{path}: cannot be written"))
    }
}

fn by_git(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git, which knows the files of the tree")?;
    if !output.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split('\0').filter(|path| !path.is_empty());
    Ok(paths.map(str::to_owned).collect())
}

fn by_folder(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !path.is_dir() {
            let inside = path.strip_prefix(root)?;
            files.push(inside.to_string_lossy().into_owned());
        } else if name != "target" && !name.starts_with('.') {
            by_folder(root, &path, files)?;
        }
    }
    Ok(())
}

/// The files that are too large.
pub fn check(tree: &SourceTree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in &tree.files {
        let length = fs::metadata(tree.root.join(path))
            .with_context(|| format!("{path}: cannot be read"))?
            .len();
        if length > LARGEST && !LARGER.iter().any(|(larger, _)| larger == path) {
            findings.push(Finding::new(
                path,
                None,
                "file-size",
                format!(
                    "{} KiB, of at most {}; make it at build time, or add it with its reason to LARGER in \
                     build/tree-check/src/files.rs",
                    length.div_ceil(1024),
                    LARGEST >> 10
                ),
            ));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir_all(root.join("lib/target")).expect("a folder");
        fs::write(root.join("lib/right.bin"), vec![0; 512 << 10]).expect("a file");
        fs::write(root.join("lib/large.bin"), vec![0; (512 << 10) + 1]).expect("a file");
        fs::write(root.join("lib/target/made.bin"), vec![0; 1 << 20]).expect("a file");
        let tree = SourceTree::open(root).expect("the tree");
        let findings = check(&tree).expect("sizes");
        assert_eq!(findings.len(), 1, "{findings:?}");
        let line = findings[0].to_string();
        assert!(
            line.starts_with("lib/large.bin: file-size: 513 KiB"),
            "{line}"
        );
    }

    #[test]
    fn files_are_found_with_git_and_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::create_dir(root.join("src")).expect("a folder");
        for (path, text) in [
            ("src/new.rs", "new"),
            (".gitignore", "*.elf"),
            ("t.elf", ""),
        ] {
            fs::write(root.join(path), text).expect("a file");
        }
        let all = SourceTree::open(root).expect("the tree").files;
        assert_eq!(all, [".gitignore", "src/new.rs", "t.elf"]);
        let git = Command::new("git").arg("init").current_dir(root).output();
        assert!(git.expect("git").status.success());
        let tree = SourceTree::open(root).expect("the tree");
        assert_eq!(tree.files, [".gitignore", "src/new.rs"]);
        assert_eq!(tree.with_ending(".rs").collect::<Vec<_>>(), ["src/new.rs"]);
        assert_eq!(tree.read("src/new.rs").expect("its text"), "new");
    }
}
