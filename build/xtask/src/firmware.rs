//! Compiles one crate for the target
//!
//! A task is compiled to one relocatable object (`-r`), optimised as a whole and without addresses.
//! It is then linked twice, which is fast: once to measure it, and once at its addresses. The
//! kernel is linked by Cargo, because its size is declared and need not be measured.

use crate::config::shown;
use crate::process::capture;
use crate::progress::Progress;
use crate::reason::reason;
use crate::stamp;
use crate::toolchain::Toolchain;
use crate::tree::Tree;
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate with a binary of the same name, and how it is to be built.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What it is called in messages: a task's name, or "kernel".
    pub label: String,
    /// Name of package and binary.
    pub package: String,
    /// Folder of the crate, if that is outside of this workspace.
    pub directory: Option<PathBuf>,
    /// Target triple.
    pub target: String,
    pub features: Vec<String>,
    pub no_default_features: bool,
    /// Environment of the build scripts.
    pub env: Vec<(String, String)>,
    /// Arguments of rustc for the binary itself, not for what it depends on.
    pub rustc_args: Vec<String>,
}

impl Unit {
    /// A reason of a build script with the path of the configuration that is being built: build
    /// scripts name the file alone, or `app.toml`, whatever its name is.
    fn with_path(&self, reason: &str) -> String {
        let of_app = |(name, path): &(String, String)| {
            let file = Path::new(path).file_name()?.to_str()?;
            let (first, rest) = reason.split_once(": ")?;
            let is_file = name == "HUBRIS_APP_TOML" && (first == file || first == "app.toml");
            is_file.then(|| format!("{}: {rest}", shown(Path::new(path))))
        };
        let with_path = self.env.iter().find_map(of_app);
        with_path.unwrap_or_else(|| reason.to_string())
    }

    /// The part of it that clippy checks. Units that are equal in this are checked once.
    pub fn what_is_checked(&self) -> (String, Option<PathBuf>, String, Vec<String>, bool) {
        let mut features = self.features.clone();
        features.sort();
        (
            self.package.clone(),
            self.directory.clone(),
            self.target.clone(),
            features,
            self.no_default_features,
        )
    }

    /// Cargo's arguments for the features.
    fn feature_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if !self.features.is_empty() {
            args.push(format!("--features={}", self.features.join(",")));
        }
        if self.no_default_features {
            args.push("--no-default-features".to_string());
        }
        args
    }
}

/// What [`Compiler::build`] did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The output was up to date.
    Fresh,
    /// It was made.
    Built,
}

/// Compiles units.
#[derive(Clone, Debug)]
pub struct Compiler<'a> {
    pub tree: &'a Tree,
    pub toolchain: &'a Toolchain,
    /// Folders outside of the tree that crates of the application are in.
    pub outside: Vec<PathBuf>,
}

/// The profile `release` of this workspace. Crates outside have one of their own, and a
/// configuration file of the user may change it; variables of the environment go before both.
const PROFILE: [(&str, &str); 10] = [
    ("CODEGEN_UNITS", "1"),
    ("DEBUG", "2"),
    ("DEBUG_ASSERTIONS", "false"),
    ("INCREMENTAL", "false"),
    ("LTO", "fat"),
    ("OPT_LEVEL", "z"),
    ("OVERFLOW_CHECKS", "true"),
    ("PANIC", "abort"),
    ("RPATH", "false"),
    ("STRIP", "none"),
];

impl Compiler<'_> {
    /// Compiles `unit` to `output`, unless that is up to date.
    pub fn build(&self, unit: &Unit, output: &Path, progress: &mut Progress) -> Result<Outcome> {
        let key = self.key(unit);
        if stamp::is_fresh(output, &key) {
            return Ok(Outcome::Fresh);
        }
        let mut command = self.toolchain.command("cargo");
        command.arg("rustc").arg("--quiet");
        self.common_args(&mut command, unit, progress);
        command
            .args(["--release", "--bin", &unit.package, "--"])
            .args(&unit.rustc_args);
        self.run(&mut command, unit, "compiling", progress)?;

        let directory = self.tree.firmware().join(&unit.target).join("release");
        let made = directory.join(&unit.package);
        fs::copy(&made, output)
            .with_context(|| format!("cannot copy {} to {}", made.display(), output.display()))?;
        let dep_info = directory.join(format!("{}.d", unit.package));
        let sources = stamp::sources(&dep_info, self.directory(unit));
        stamp::write(output, &key, &sources)
            .with_context(|| format!("cannot write beside {}", output.display()))?;
        Ok(Outcome::Built)
    }

    /// Runs clippy over the unit, warnings being errors.
    pub fn clippy(&self, unit: &Unit, progress: &mut Progress) -> Result<()> {
        let mut command = self.toolchain.command("cargo-clippy");
        command.args(["clippy", "--quiet"]);
        self.common_args(&mut command, unit, progress);
        command.args(["--release", "--bin", &unit.package, "--", "-Dwarnings"]);
        self.run(&mut command, unit, "clippy", progress)
    }

    /// Writes the documentation of the unit.
    pub fn doc(&self, unit: &Unit, progress: &mut Progress) -> Result<()> {
        let mut command = self.toolchain.command("cargo");
        command.args(["doc", "--quiet", "--no-deps", "--document-private-items"]);
        self.common_args(&mut command, unit, progress);
        command.args(["--release", "--bin", &unit.package]);
        self.run(&mut command, unit, "documenting", progress)
    }

    /// Arguments and environment that every use of Cargo for a unit has.
    fn common_args(&self, command: &mut Command, unit: &Unit, progress: &Progress) {
        command
            .current_dir(self.directory(unit))
            .args(["--package", &unit.package])
            .args(Toolchain::target_args(&unit.target))
            .arg("--target-dir")
            .arg(self.tree.firmware())
            .args([
                "--color",
                if progress.terminal() {
                    "always"
                } else {
                    "never"
                },
            ]);
        command.args(unit.feature_args());
        let profile = PROFILE.iter();
        command.envs(profile.map(|(key, value)| (format!("CARGO_PROFILE_RELEASE_{key}"), value)));
        command.env("CARGO_BUILD_BUILD_DIR", self.tree.firmware());
        command.env(linker_variable(&unit.target), "rust-lld");
        command.env("CARGO_ENCODED_RUSTFLAGS", self.flags().join("\x1f"));
        command.envs(unit.env.iter().map(|(name, value)| (name, value)));
    }

    /// Where Cargo finds the unit's workspace.
    fn directory<'u>(&'u self, unit: &'u Unit) -> &'u Path {
        unit.directory.as_deref().unwrap_or(&self.tree.root)
    }

    /// Runs Cargo and shows its output, also if it succeeds. Only a mistake in the configuration is
    /// shortened to one line.
    fn run(
        &self,
        command: &mut Command,
        unit: &Unit,
        what: &str,
        progress: &Progress,
    ) -> Result<()> {
        let output = capture(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success()
            && let Some(reason) = reason(&said)
        {
            progress.clear();
            let reason = unit.with_path(&reason);
            bail!("{}: {} cannot be built: {reason}", unit.label, unit.package);
        }
        if !output.stderr.is_empty() || !output.stdout.is_empty() {
            progress.clear();
            eprint!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{said}");
        }
        if !output.status.success() {
            bail!(
                "{}: {what} the crate {} failed; the messages above say why",
                unit.label,
                unit.package
            );
        }
        Ok(())
    }

    /// Flags for every crate of the firmware.
    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = ["-Zemit-stack-sizes", "-Coverflow-checks=y"]
            .map(String::from)
            .to_vec();
        // rustc uses the last prefix that matches, so the more specific ones come last.
        for (from, to) in self.private_paths() {
            flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        }
        flags
    }

    /// Directories of this machine, each with the name that replaces it in debug information and
    /// panic messages, so that the same sources make the same image on every machine.
    fn private_paths(&self) -> Vec<(PathBuf, &'static str)> {
        let libraries = self.toolchain.library_sources().into_iter();
        let mut paths: Vec<_> = libraries.map(|path| (path, "/rust")).collect();
        paths.extend(self.outside.iter().map(|path| (path.clone(), "/app")));
        paths.push((self.tree.root.clone(), "/crashlog"));
        paths.push((self.tree.target.clone(), "/target"));
        if let Some(cargo) = cargo_home() {
            let sources = cargo.join("registry/src");
            // The name of the folder in it is that of the mirror that the crates came from. It is
            // there by now, because xtask has dependencies.
            let registries = folders(&sources);
            paths.push((sources, "/crates.io"));
            paths.extend(registries.into_iter().map(|path| (path, "/crates.io")));
            paths.push((cargo.join("git/checkouts"), "/git"));
        }
        paths
    }

    /// Strings that no finished image may contain.
    pub fn forbidden_strings(&self) -> Vec<String> {
        let home = env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.components().count() > 1);
        // The compiler's own directory may be there: it is the same on every machine with the same
        // packages.
        let private = self
            .private_paths()
            .into_iter()
            .filter(|(_, name)| *name != "/rust");
        let ours = private.map(|(path, _)| path).chain(home);
        ours.map(|path| format!("{}/", path.display())).collect()
    }

    /// Everything that the output depends on, without the sources.
    fn key(&self, unit: &Unit) -> String {
        format!("{}\n{:?}\n{unit:?}", self.toolchain.version(), self.flags())
    }
}

/// Cargo's directory of downloaded crates.
fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    std::path::absolute(home).ok()
}

/// The folders in `path`, sorted; none if it does not exist.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// The variable that tells Cargo which linker to use for `target`.
fn linker_variable(target: &str) -> String {
    let target = target.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_in_the_file_that_is_built() {
        let unit = Unit {
            label: "net".into(),
            package: "task-net".into(),
            directory: None,
            target: "t".into(),
            features: Vec::new(),
            no_default_features: false,
            env: vec![("HUBRIS_APP_TOML".into(), "/app/demo/hang.toml".into())],
            rustc_args: Vec::new(),
        };
        for file in ["app.toml", "hang.toml"] {
            assert_eq!(
                unit.with_path(&format!("{file}: tasks.net.config: missing")),
                "/app/demo/hang.toml: tasks.net.config: missing"
            );
        }
        assert_eq!(unit.with_path("chip.toml: a: b"), "chip.toml: a: b");
    }

    /// The manifest governs builds without xtask; the two must not differ.
    #[test]
    fn the_profile_is_that_of_the_workspace() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let text = fs::read_to_string(path).expect("the workspace");
        let manifest: toml::Table = text.parse().expect("a manifest");
        let profile = manifest["profile"]["release"].as_table().expect("release");
        let settings = profile.iter().filter(|(key, _)| *key != "package");
        let mut count = 0;
        for (key, value) in settings {
            let key = key.to_uppercase().replace('-', "_");
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_string);
            assert!(
                PROFILE.contains(&(key.as_str(), value.as_str())),
                "{key} = {value}"
            );
            count += 1;
        }
        assert_eq!(count, 6);
    }

    #[test]
    fn registries_are_found_whatever_their_name() {
        let dir = tempfile::tempdir().expect("directory");
        let sources = dir.path().join("src");
        assert!(folders(&sources).is_empty());
        for name in ["mirror-02", "index.crates.io-01"] {
            fs::create_dir_all(sources.join(name)).expect("folder");
        }
        fs::write(sources.join("file"), "").expect("file");
        let expected = ["index.crates.io-01", "mirror-02"].map(|name| sources.join(name));
        assert_eq!(folders(&sources), expected);
    }

    #[test]
    fn features_are_cargos() {
        let mut unit = Unit {
            label: "net".into(),
            package: "task-net".into(),
            directory: None,
            target: "thumbv7em-none-eabihf".into(),
            features: vec!["a".into(), "b".into()],
            no_default_features: true,
            env: Vec::new(),
            rustc_args: Vec::new(),
        };
        assert_eq!(
            unit.feature_args(),
            ["--features=a,b", "--no-default-features"]
        );
        unit.features.clear();
        unit.no_default_features = false;
        assert!(unit.feature_args().is_empty());
    }
}
