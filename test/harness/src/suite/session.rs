//! What the tests of one run share: what is built for them, and the count of cases.

use crate::artefacts::Artefacts;
use crate::build::{self, Image};
use crate::paths;
use crate::qemu::Qemu;
use crate::tool::Tool;
use anyhow::{Result, anyhow};
use libtest_mimic::{Failed, Trial};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the tests of a run share.
#[derive(Default)]
pub struct Session {
    passed: AtomicUsize,
    failed: AtomicUsize,
    built: Mutex<Built>,
}

/// What was built up to now.
#[derive(Default)]
struct Built {
    qemu: Option<Qemu>,
    tool: Option<Tool>,
    /// By application. A failure to build is kept as well, so that it is not tried again for each
    /// test.
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
pub struct Rig {
    /// The emulator.
    pub qemu: Qemu,
    /// The host tool.
    pub tool: Tool,
    /// The image to run.
    pub image: Image,
    /// The folder for everything that the test makes.
    pub artefacts: Artefacts,
}

/// The cases of a test that ran to its end.
#[derive(Default)]
pub struct Cases {
    /// How many passed.
    pub passed: usize,
    /// What each of those that failed has said.
    pub failed: Vec<String>,
}

impl Session {
    /// A test in QEMU with the image of an application. Its folder is removed if it passes; if not,
    /// the message names it.
    pub fn trial(
        self: &Arc<Self>,
        name: impl Into<String>,
        app: &'static str,
        run: impl FnOnce(&Rig) -> Result<Cases> + Send + 'static,
    ) -> Trial {
        let session = self.clone();
        let name = name.into();
        Trial::test(name.clone(), move || {
            let rig = match session.rig(app, &name) {
                Ok(rig) => rig,
                Err(cause) => return session.count(Err(cause)),
            };
            let folder = paths::shown(rig.artefacts.dir());
            let outcome = run(&rig);
            if outcome.as_ref().is_ok_and(|cases| cases.failed.is_empty()) {
                rig.artefacts.discard();
            }
            session.count(outcome).map_err(|failed| {
                let said = failed.message().unwrap_or_default();
                format!("{said}\neverything that the run made is in {folder}").into()
            })
        })
    }

    /// Counts the cases of a test.
    pub fn count(&self, outcome: Result<Cases>) -> Result<(), Failed> {
        let cases = outcome.unwrap_or_else(|cause| Cases {
            passed: 0,
            failed: vec![format!("{cause:#}")],
        });
        self.passed.fetch_add(cases.passed, Ordering::Relaxed);
        self.failed.fetch_add(cases.failed.len(), Ordering::Relaxed);
        if cases.failed.is_empty() {
            Ok(())
        } else {
            Err(cases.failed.join("\n").into())
        }
    }

    /// How many cases passed and failed up to now.
    pub fn counts(&self) -> (usize, usize) {
        let [passed, failed] =
            [&self.passed, &self.failed].map(|count| count.load(Ordering::Relaxed));
        (passed, failed)
    }

    /// Runs something with the image of an application. No other test builds anything meanwhile.
    pub fn with_image<T>(&self, app: &str, run: impl FnOnce(&Image) -> Result<T>) -> Result<T> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let image = built.image(app)?;
        run(&image)
    }

    /// Builds what is missing, one test at a time; the others wait.
    fn rig(&self, app: &str, name: &str) -> Result<Rig> {
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
    pub fn one() -> Self {
        Self {
            passed: 1,
            failed: Vec::new(),
        }
    }
}
