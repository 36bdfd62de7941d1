//! The fault matrix: who fails, in which state of controller and card, and what is broken beside.
//!
//! One row is one test, `matrix::<id>`. Where the variable `FAULT_MATRIX_OUT` names a folder, a row that passed leaves a
//! line for `doc/fault-matrix.md` there (see [`crate::matrix`]); the host's half of the matrix does the same.

mod bounds;
mod broken;
mod clients;
mod damage;
mod moments;
mod recorder;
mod rest;
pub(super) mod scene;
mod states;
mod supervisor;
mod system;

use super::{Bench, Cases, Rig};
use crate::matrix::Line;
use crate::sabotage::APP;
use anyhow::Result;
use libtest_mimic::Trial;
use scene::Scene;
use std::path::PathBuf;
use std::sync::Arc;

/// What a row does.
type Run = Box<dyn FnOnce(&Rig) -> Result<()> + Send>;

/// A row.
pub struct Row {
    /// What it is called, in the document and as a test.
    pub id: String,
    /// Who fails.
    pub who: String,
    /// State of controller and card at that moment.
    pub state: String,
    /// What is broken beside.
    pub broken: &'static str,
    /// What is looked for afterwards, beside what is looked for in each row.
    pub outcome: &'static str,
    /// The requirements that it proves.
    pub requirements: &'static str,
    /// The application.
    pub app: &'static str,
    /// Does it.
    pub run: Run,
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = clients::rows();
    rows.extend(recorder::rows());
    rows.extend(system::rows());
    rows.extend(supervisor::rows());
    rows.extend(states::rows());
    rows.extend(bounds::rows());
    rows.extend(broken::rows());
    rows.extend(damage::rows());
    rows.extend(moments::rows());
    rows.extend(rest::rows());
    rows
}

/// One test for each row, and one that the document lists them.
pub fn trials(bench: &Arc<Bench>) -> Vec<Trial> {
    let folder = std::env::var_os(crate::matrix::FOLDER).map(PathBuf::from);
    let mut trials = rows_as_trials(bench, folder);
    let bench = bench.clone();
    trials.push(Trial::test("matrix::document", move || {
        let lines: Vec<_> = rows().iter().map(Row::line).collect();
        bench.count(crate::matrix::check(&lines).map(|()| Cases::one()))
    }));
    trials
}

/// One test for each row; each that passes leaves its line in the folder.
pub fn rows_as_trials(bench: &Arc<Bench>, folder: Option<PathBuf>) -> Vec<Trial> {
    rows()
        .into_iter()
        .map(|row| {
            let (line, folder) = (row.line(), folder.clone());
            bench.trial(format!("matrix::{}", row.id), row.app, move |rig| {
                (row.run)(rig)?;
                if let Some(folder) = folder {
                    line.leave(&folder)?;
                }
                Ok(Cases::one())
            })
        })
        .collect()
}

impl Row {
    /// One in which nothing else is broken. It begins before the first instruction of a machine with a card
    /// that was used before.
    fn sound(
        id: impl Into<String>,
        who: impl Into<String>,
        state: impl Into<String>,
        outcome: &'static str,
        requirements: &'static str,
        run: impl FnOnce(Scene<'_>) -> Result<()> + Send + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            who: who.into(),
            state: state.into(),
            broken: NOTHING,
            outcome,
            requirements,
            app: APP,
            run: Box::new(move |rig| run(Scene::set(rig)?)),
        }
    }

    /// The same, but the system is up and logging.
    fn logging(
        id: impl Into<String>,
        who: impl Into<String>,
        state: impl Into<String>,
        outcome: &'static str,
        requirements: &'static str,
        run: impl FnOnce(Scene<'_>) -> Result<()> + Send + 'static,
    ) -> Self {
        let begun = move |mut scene: Scene<'_>| {
            scene.begin()?;
            run(scene)
        };
        Self::sound(id, who, state, outcome, requirements, begun)
    }

    /// The same with another application.
    fn on(self, app: &'static str) -> Self {
        Self { app, ..self }
    }

    /// The same, but this is broken.
    fn with(self, broken: &'static str) -> Self {
        Self { broken, ..self }
    }

    /// Its line in the document.
    pub fn line(&self) -> Line {
        Line {
            id: self.id.clone(),
            who: self.who.clone(),
            state: self.state.clone(),
            broken: self.broken.to_owned(),
            outcome: self.outcome.to_owned(),
            runs_on: "QEMU".to_owned(),
            requirements: self.requirements.to_owned(),
        }
    }
}

/// Where nothing is broken.
const NOTHING: &str = "nothing";
/// Where the recorder has nothing to do.
const IDLE: &str = "idle, the card in transfer state";
/// What a healthy system must do.
const RECORDED: &str = "recorded before the restart";
