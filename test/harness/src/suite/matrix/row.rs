//! A row of the fault matrix that runs in QEMU.

use super::scene::Scene;
use crate::matrix_document::RowLine;
use crate::sabotage::APP;
use crate::suite::Rig;
use anyhow::Result;

/// The function of a row.
type RunRow = Box<dyn FnOnce(&Rig) -> Result<()> + Send>;

/// A row.
pub struct Row {
    /// Its name in the document, and of its test; stable.
    pub id: String,
    /// Who fails.
    pub who: String,
    /// State of controller and card at that moment.
    pub state: String,
    /// What else is broken.
    pub broken: &'static str,
    /// What is checked afterwards, in addition to what each row checks.
    pub outcome: &'static str,
    /// The requirements that it proves.
    pub requirements: &'static str,
    /// The application.
    pub app: &'static str,
    /// Runs it.
    pub run: RunRow,
}

impl Row {
    /// A row in which nothing else is broken. `run` gets a machine before its first instruction,
    /// with a card that was used before.
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

    /// The same, but `run` gets a system that is up and logging.
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

    /// The same, but `broken` is broken.
    pub fn with(self, broken: &'static str) -> Self {
        Self { broken, ..self }
    }

    /// As it is listed.
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

/// What is broken: nothing.
pub const NOTHING: &str = "nothing";
/// State of controller and card: the recorder has nothing to do.
pub const IDLE: &str = "idle, the card in transfer state";
/// What is checked: the crash was written in time.
pub const RECORDED: &str = "recorded before the restart";
