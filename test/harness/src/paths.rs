//! Paths of the repository and of cargo's build directory.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Cargo's build directory.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root()
            .canonicalize()
            .unwrap_or_else(|_| root().to_owned())
            .join("target"),
    }
}

/// A path for people: relative to the root of the repository, if it is inside.
pub fn shown(path: &Path) -> String {
    // `root()` contains `..`; a path that was made from it must be stripped before it is resolved.
    let inside = path.strip_prefix(root()).map(Path::to_owned).or_else(|_| {
        let whole = root().canonicalize().unwrap_or_else(|_| root().to_owned());
        path.strip_prefix(whole).map(Path::to_owned)
    });
    inside.as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_repository_are_shown_without_it() {
        assert_eq!(shown(&root().join("doc/numbers.md")), "doc/numbers.md");
        let whole = root().canonicalize().expect("the repository").join("doc");
        assert_eq!(shown(&whole), "doc");
        assert_eq!(shown(Path::new("/elsewhere/file")), "/elsewhere/file");
    }
}
