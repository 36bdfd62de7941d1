//! The tests: on the host, and in QEMU.
//!
//! A test here is one run of something that may itself consist of many cases: `cargo test` of a crate, a machine that
//! runs a suite of its own. The last line counts the cases.

mod broken_loop;
mod card;
mod console;
mod crash_loop;
mod dump;
mod dump_areas;
mod example;
mod failure;
mod hiffy;
mod host;
mod matrix;
mod model;
mod power;
mod proof;
mod scripts;
mod sd;
mod self_test;
mod stock;
mod sweep;
mod target;

use crate::artefacts::Artefacts;
use crate::build::{self, Image};
use crate::paths;
use crate::qemu::Qemu;
use crate::tool::Tool;
use anyhow::{Context, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What to run.
pub struct Selection {
    /// Also what takes long.
    pub all: bool,
    /// Which part of it.
    pub shard: Shard,
    /// List instead of running.
    pub list: bool,
    /// How many at a time.
    pub threads: Option<usize>,
    /// Only names that contain this.
    pub filter: Option<String>,
}

/// One of several parts of what takes long, which can run on several machines, or in several nights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1 on.
    pub number: u32,
    /// How many there are.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            number: 1,
            count: 1,
        }
    }
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split_once('/')
            .and_then(|(number, count)| {
                Some(Self {
                    number: number.parse().ok()?,
                    count: count.parse().ok()?,
                })
            })
            .filter(|shard| (1..=shard.count).contains(&shard.number) && shard.count <= 1_000)
            .with_context(|| {
                format!("`{text}` is no part of a whole: 2/6 is the second of six, of 1000 at most")
            })
    }
}

/// Runs the selected tests; says whether all passed.
pub fn run(selection: &Selection) -> Result<bool> {
    let bench = Arc::new(Bench::default());
    let mut trials = host::trials(&bench)?;
    trials.extend(console::trials(&bench));
    trials.extend(broken_loop::trials(&bench));
    trials.extend(failure::trials(&bench));
    trials.extend(card::trials(&bench));
    trials.extend(self_test::trials(&bench));
    trials.extend(power::trials(&bench, selection.all));
    trials.extend(proof::trials(&bench));
    trials.extend(matrix::trials(&bench));
    trials.extend(crash_loop::trials(&bench, selection.all));
    trials.extend(sd::trials(&bench));
    trials.extend(sweep::trials(
        &bench,
        selection.all.then_some(selection.shard),
    ));
    trials.extend(dump::trials(&bench));
    trials.extend(example::trials(&bench));
    trials.extend(stock::trials(&bench));
    trials.extend(scripts::trials(&bench));
    trials.extend(target::trials(&bench));
    trials.extend(model::trials(&bench, selection.all));
    trials.extend(hiffy::trials(&bench));
    trials.extend(dump_areas::trials(&bench));

    let arguments = Arguments {
        list: selection.list,
        filter: selection.filter.clone(),
        test_threads: selection.threads,
        ..Arguments::default()
    };
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !selection.list {
        let [passed, failed] =
            [&bench.passed, &bench.failed].map(|count| count.load(Ordering::Relaxed));
        println!("{passed} passed, {failed} failed");
    }
    Ok(!conclusion.has_failed())
}

/// Runs the rows of the fault matrix alone, which leave their lines in a folder; says whether all passed.
pub fn run_matrix(folder: &Path) -> bool {
    let bench = Arc::new(Bench::default());
    let rows = matrix::rows_as_trials(&bench, Some(folder.to_owned()));
    !libtest_mimic::run(&Arguments::default(), rows).has_failed()
}

/// What the tests share: things that are built when the first test needs them, and the count of cases.
#[derive(Default)]
struct Bench {
    passed: AtomicUsize,
    failed: AtomicUsize,
    built: Mutex<Built>,
}

#[derive(Default)]
struct Built {
    qemu: Option<Qemu>,
    tool: Option<Tool>,
    /// A failure to build is remembered, so that it is not tried for each test again.
    images: HashMap<String, Result<Image, String>>,
}

impl Built {
    /// The image of an application.
    fn image(&mut self, app: &str) -> Result<Image> {
        let image = match self.images.get(app) {
            Some(image) => image.clone(),
            None => {
                let image = build::dist(app).map_err(|cause| format!("{cause:#}"));
                self.images.insert(app.to_owned(), image.clone());
                image
            }
        };
        image.map_err(|cause| anyhow!(cause))
    }
}

/// What a test in QEMU works with.
struct Rig {
    qemu: Qemu,
    tool: Tool,
    image: Image,
    artefacts: Artefacts,
}

/// The cases of a test that ran to its end: how many passed, and what those that did not say.
#[derive(Default)]
struct Cases {
    passed: usize,
    failed: Vec<String>,
}

impl Bench {
    /// A test in QEMU with the image of an application.
    fn trial(
        self: &Arc<Self>,
        name: impl Into<String>,
        app: &'static str,
        run: impl FnOnce(&Rig) -> Result<Cases> + Send + 'static,
    ) -> Trial {
        let bench = self.clone();
        let name = name.into();
        Trial::test(name.clone(), move || {
            let outcome = bench.rig(app, &name).and_then(|rig| {
                let outcome = run(&rig);
                let well = outcome.as_ref().is_ok_and(|cases| cases.failed.is_empty());
                let dir = paths::shown(rig.artefacts.dir());
                if well {
                    rig.artefacts.discard();
                }
                outcome
                    .map_err(|cause| anyhow!("{cause:#}\neverything that the run left is in {dir}"))
                    .map(|mut cases| {
                        if !well {
                            cases
                                .failed
                                .push(format!("everything that the run left is in {dir}"));
                        }
                        cases
                    })
            });
            bench.count(outcome)
        })
    }

    /// Counts the cases of a test.
    fn count(&self, outcome: Result<Cases>) -> Result<(), Failed> {
        match outcome {
            Ok(cases) => {
                self.passed.fetch_add(cases.passed, Ordering::Relaxed);
                self.failed.fetch_add(
                    cases
                        .failed
                        .iter()
                        .filter(|text| !text.starts_with("everything"))
                        .count(),
                    Ordering::Relaxed,
                );
                if cases.failed.is_empty() {
                    Ok(())
                } else {
                    Err(cases.failed.join("\n").into())
                }
            }
            Err(cause) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(format!("{cause:#}").into())
            }
        }
    }

    /// Does something with the image of an application while nothing is built.
    fn with_image<T>(&self, app: &str, run: impl FnOnce(&Image) -> Result<T>) -> Result<T> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let image = built.image(app)?;
        run(&image)
    }

    fn rig(&self, app: &str, name: &str) -> Result<Rig> {
        // Whoever comes first builds; the others wait for it.
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let qemu = match &built.qemu {
            Some(qemu) => qemu.clone(),
            None => built.qemu.insert(Qemu::find()?).clone(),
        };
        let tool = match &built.tool {
            Some(tool) => tool.clone(),
            None => built.tool.insert(Tool::build()?).clone(),
        };
        let image = built.image(app)?;
        Ok(Rig {
            qemu,
            tool,
            image,
            artefacts: Artefacts::new(name)?,
        })
    }
}

impl Cases {
    /// A test that is one case, and passed.
    fn one() -> Self {
        Self {
            passed: 1,
            failed: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_several() {
        assert_eq!(
            "2/6".parse::<Shard>().ok(),
            Some(Shard {
                number: 2,
                count: 6
            })
        );
        for wrong in ["0/6", "7/6", "1/0", "1/1001", "3", "a/b", "1/2/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
