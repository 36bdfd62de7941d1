//! A row of the matrix.

use super::scene::Scene;
use crate::matrix_document::RowLine;
use crate::sabotage::APP;
use crate::suite::Rig;
use anyhow::Result;

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

impl Row {
    /// One in which nothing else is broken. It begins before the first instruction of a machine with a card
    /// that was used before.
    pub fn sound(
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
    pub fn logging(
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
    pub fn on(self, app: &'static str) -> Self {
        Self { app, ..self }
    }

    /// The same, but this is broken.
    pub fn with(self, broken: &'static str) -> Self {
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
pub const NOTHING: &str = "nothing";
/// Where the recorder has nothing to do.
pub const IDLE: &str = "idle, the card in transfer state";
/// What a healthy system must do.
pub const RECORDED: &str = "recorded before the restart";
