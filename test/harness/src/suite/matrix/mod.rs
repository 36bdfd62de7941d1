//! The fault matrix: who fails, in which state of controller and card, and what is broken beside.
//!
//! One row is one test, `matrix::<id>`. Where the variable `FAULT_MATRIX_OUT` names a folder, a row that passed leaves a
//! line for `doc/fault-matrix.md` there (see [`crate::matrix_document`]); the host's half of the matrix does the same.

mod bounds;
mod cards;
mod clients;
mod damage;
mod errors;
mod full;
mod moments;
mod recorder;
mod retained;
mod run;
pub(super) mod scene;
mod states;
mod supervisor;
mod suspended;
mod system;

pub use run::run;

use super::{Cases, Rig, Session};
use crate::matrix_document::{FOLDER, RowLine};
use crate::sabotage::APP;
use anyhow::Result;
use libtest_mimic::Trial;
use scene::Scene;
use std::path::PathBuf;
use std::sync::Arc;

/// What a row does.
type RunRow = Box<dyn FnOnce(&Rig) -> Result<()> + Send>;

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
    pub run: RunRow,
}

/// Rows that belong together.
pub struct Group {
    /// Their heading in the document.
    pub title: &'static str,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Every row, in the groups and the order of the document.
pub fn groups() -> Vec<Group> {
    [
        (
            "A client fails, in each way that a task can fail",
            clients::rows(),
        ),
        (
            "A client fails, in each state of controller and card that commands lead to",
            states::rows(),
        ),
        (
            "Somebody fails at a certain point of the recorder's work",
            moments::rows(),
        ),
        (
            "Controller and card are suspended, or about to be",
            suspended::rows(),
        ),
        ("The recorder itself fails", recorder::rows()),
        (
            "Two fail at once; the idle task, the supervisor or the kernel fails",
            system::rows(),
        ),
        (
            "The supervisor hangs or fails while it describes a crash",
            supervisor::rows(),
        ),
        (
            "Bounds: watchdog, a time source that stands still, a controller without answer",
            bounds::rows(),
        ),
        ("Errors of commands and transfers", errors::rows()),
        (
            "The card is gone, another one, or write protected",
            cards::rows(),
        ),
        ("What is on the card is damaged", damage::rows()),
        ("The card has no free space", full::rows()),
        ("Retained RAM is damaged", retained::rows()),
    ]
    .into_iter()
    .map(|(title, rows)| Group { title, rows })
    .collect()
}

/// One test for each row, and one that the document is that of these rows.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let mut trials = rows_as_trials(session, folder);
    let session = session.clone();
    trials.push(Trial::test("matrix::document", move || {
        session.count(run::all().check().map(|()| Cases::one()))
    }));
    trials
}

/// One test for each row; each that passes leaves its line in the folder.
pub fn rows_as_trials(session: &Arc<Session>, folder: Option<PathBuf>) -> Vec<Trial> {
    groups()
        .into_iter()
        .flat_map(|group| group.rows)
        .map(|row| {
            let (line, folder) = (row.line(), folder.clone());
            session.trial(format!("matrix::{}", row.id), row.app, move |rig| {
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
    pub fn line(&self) -> RowLine {
        RowLine {
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
