//! Faults that are put into the drivers, one at a time (mutants), each of which the tests on the
//! host have to notice.
//!
//! The list is `test/mutants/drivers.toml`. `./x test` checks that each of them can be put in;
//! `./x test --all` runs the tests of the drivers and then the fault matrix with each, in a copy of
//! the tree.

use super::{Cases, Session, Shard};
use crate::build::cargo;
use crate::paths;
use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The list, relative to the root of the repository.
const LIST: &str = "test/mutants/drivers.toml";
/// Fewer would mean that some were lost.
const LEAST: usize = 40;
/// Longest time of the tests with one mutant; they take two minutes on a machine with nothing else
/// to do.
const LIMIT: Duration = Duration::from_secs(1_800);
/// What is not copied.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// A fault in a driver.
#[derive(Clone, Debug)]
struct Mutant {
    name: String,
    /// Relative to the root of the repository.
    file: String,
    /// What is replaced: it occurs exactly once.
    from: String,
    to: String,
    /// What is wrong then.
    breaks: String,
}

impl Mutant {
    fn parse(table: &toml::Value) -> Result<Self> {
        let text = |key: &str| {
            let value = table.get(key).and_then(toml::Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("{LIST}: a mutant has no text `{key}`: {table}"))
        };
        Ok(Self {
            name: text("name")?,
            file: text("file")?,
            from: text("from")?,
            to: text("to")?,
            breaks: text("breaks")?,
        })
    }

    /// The file below `tree`, and its content with the fault.
    fn change(&self, tree: &Path) -> Result<(PathBuf, String)> {
        let path = tree.join(&self.file);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{LIST}: `{}`: {}", self.name, self.file))?;
        let found = text.matches(&self.from).count();
        ensure!(
            found == 1,
            "{LIST}: `{}`: its `from` is {found} times in {}, not once; adapt it to the driver",
            self.name,
            self.file
        );
        Ok((path, text.replacen(&self.from, &self.to, 1)))
    }
}

/// `mutants::list`, and with a `shard` one test for each mutant of that part.
pub fn trials(session: &Arc<Session>, shard: Option<Shard>) -> Result<Vec<Trial>> {
    let mutants = read()?;
    let mut trials = Vec::new();
    let all = mutants.clone();
    let counter = session.clone();
    trials.push(Trial::test("mutants::list", move || {
        counter.count(check(&all))
    }));
    let Some(shard) = shard else {
        return Ok(trials);
    };
    let copy = Arc::new(Mutex::new(None));
    for (number, mutant) in (0..).zip(mutants) {
        if number % shard.count != shard.number - 1 {
            continue;
        }
        let (session, copy) = (session.clone(), copy.clone());
        let name = format!("mutants::{}", mutant.name);
        trials.push(Trial::test(name, move || {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            session.count(kill(&mutant, &mut copy))
        }));
    }
    Ok(trials)
}

fn read() -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(paths::root().join(LIST)).context(LIST)?;
    let list: toml::Table = text.parse().context(LIST)?;
    let mutants = list.get("mutant").and_then(toml::Value::as_array);
    mutants
        .with_context(|| format!("{LIST} has no [[mutant]]"))?
        .iter()
        .map(Mutant::parse)
        .collect()
}

/// Whether each mutant can be put in, under a name of its own.
fn check(mutants: &[Mutant]) -> Result<Cases> {
    ensure!(
        mutants.len() >= LEAST,
        "{LIST} has only {} mutants",
        mutants.len()
    );
    let mut names = BTreeSet::new();
    for mutant in mutants {
        ensure!(
            names.insert(&mutant.name),
            "{LIST}: two are called `{}`",
            mutant.name
        );
        mutant.change(paths::root())?;
    }
    Ok(Cases {
        passed: mutants.len(),
        ..Cases::default()
    })
}

/// A copy of the tree in which the drivers are changed.
struct Copy {
    tree: PathBuf,
    build: PathBuf,
}

/// How tests with a mutant have ended.
enum Outcome {
    Killed,
    Survived,
}

impl Copy {
    fn make() -> Result<Self> {
        let folder = paths::target().join("mutants");
        let copy = Self {
            tree: folder.join("tree"),
            build: folder.join("build"),
        };
        if copy.tree.exists() {
            fs::remove_dir_all(&copy.tree).context("cannot remove the last copy of the tree")?;
        }
        copy_folder(paths::root(), &copy.tree)?;
        for arguments in TESTS {
            // Without a mutant they pass, or nothing that fails later would mean anything.
            if let Outcome::Killed = copy.test(arguments)? {
                bail!("`cargo {arguments}` fails without a mutant");
            }
        }
        Ok(copy)
    }

    fn test(&self, arguments: &str) -> Result<Outcome> {
        let command = |extra: &[&str]| {
            let mut command: Command = cargo();
            command
                .args(arguments.split(' '))
                .args(extra)
                .current_dir(&self.tree)
                .env("CARGO_TARGET_DIR", &self.build)
                .env("CARGO_INCREMENTAL", "0")
                .env("CARGO_PROFILE_DEV_DEBUG", "0");
            command
        };
        let built = command(&["--no-run"])
            .output()
            .context("cannot run cargo")?;
        if !built.status.success() {
            bail!(
                "it does not compile:\n{}",
                String::from_utf8_lossy(&built.stderr).trim()
            );
        }
        Ok(if succeeds_in_time(command(&[]))? {
            Outcome::Survived
        } else {
            Outcome::Killed
        })
    }
}

/// The tests that have to notice a mutant, those that take the least time first.
const TESTS: [&str; 3] = [
    "test --quiet -p drv-mmc --test standards",
    "test --quiet -p drv-sdhci -p drv-mmc --tests",
    "test --quiet -p fault-matrix --tests",
];

/// Runs the tests with a mutant until one of them fails.
fn kill(mutant: &Mutant, copy: &mut Option<Copy>) -> Result<Cases> {
    let copy = match copy {
        Some(copy) => copy,
        None => copy.insert(Copy::make()?),
    };
    let (path, changed) = mutant.change(&copy.tree)?;
    let text = fs::read_to_string(&path)?;
    fs::write(&path, changed)?;
    let outcome = TESTS
        .iter()
        .map(|arguments| copy.test(arguments))
        .find(|outcome| !matches!(outcome, Ok(Outcome::Survived)));
    fs::write(&path, text)?;
    match outcome {
        Some(Ok(_)) => Ok(Cases {
            passed: 1,
            ..Cases::default()
        }),
        Some(Err(error)) => Err(error.context(format!("{LIST}: `{}`", mutant.name))),
        None => bail!(
            "{LIST}: no test notices `{}` in {} ({}); add a rule to drv/sdhci-sim, or a row to \
             the fault matrix",
            mutant.name,
            mutant.file,
            mutant.breaks
        ),
    }
}

/// Whether a command ends well, and before the limit: a mutant may make a test endless.
fn succeeds_in_time(mut command: Command) -> Result<bool> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, so that the test ends together with cargo.
    let mut child = command
        .process_group(0)
        .spawn()
        .context("cannot run cargo")?;
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let group = format!("-{}", child.id());
    Command::new("kill")
        .args(["-KILL", "--", &group])
        .status()
        .context("cannot run `kill`")?;
    child.wait()?;
    Ok(false)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", paths::shown(to)))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", paths::shown(&from)))?;
        }
    }
    Ok(())
}
