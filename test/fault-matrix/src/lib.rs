//! The part of the fault matrix that runs on the host: the drivers over a simulated controller and
//! card.
//!
//! It shows what no emulator shows: a card that is busy, answers wrongly, stops answering or is
//! removed, and a controller that hangs. The normal path is interrupted before each of its register
//! accesses, one after the other. The state of controller and card at that point is copied,
//! something is broken in the copy or nothing is, and the emergency path has to write a crash
//! there. The code is the one that runs on the target.
//!
//! * [`setup`]: what distinguishes one simulated system from another;
//! * [`point`]: where the normal path is interrupted;
//! * [`broken`]: what is broken then;
//! * [`slot`]: a simulated slot, and the checks that hold for every emergency;
//! * [`actual_state`]: the state that the report has to name;
//! * [`rows`]: one row for each combination that makes sense. A row is a test; its name does not
//!   change.
//!
//! The same with the recorder's store over the drivers. There the checks are not about blocks, but
//! about what the recorder has promised to its clients:
//!
//! * [`recorder`]: a recorder without its server;
//! * [`image`]: the content of a card, read without its driver;
//! * [`store_rows`]: the rows;
//! * [`snapshot_rows`]: those in which a snapshot is being written.
#![forbid(unsafe_code)]

pub mod actual_state;
pub mod broken;
pub mod image;
pub mod point;
pub mod recorder;
pub mod rows;
pub mod setup;
pub mod slot;
pub mod snapshot_rows;
pub mod store_rows;

use libtest_mimic::{Failed, Trial};
use std::sync::{Arc, Mutex};

/// One row.
pub struct Row {
    /// Name. It does not change.
    pub id: String,
    /// State of controller and card.
    pub state: String,
    /// What is broken in addition.
    pub broken: String,
    /// What is checked.
    pub outcome: &'static str,
    /// Requirements that the row contributes to.
    pub requirements: String,
    /// Runs the row: panics if a check fails, returns the number of points that were tried.
    pub run: Box<dyn FnOnce() -> u32 + Send>,
}

/// Lines of the table, one for each row that has passed.
pub type Table = Arc<Mutex<Vec<String>>>;

impl Row {
    /// The row as a test, which adds its line to the table if it passes.
    #[must_use]
    pub fn into_trial(self, table: Table) -> Trial {
        let Self {
            id,
            state,
            broken,
            outcome,
            requirements,
            run,
        } = self;
        Trial::test(id.clone(), move || -> Result<(), Failed> {
            let points = run();
            if points == 0 {
                return Err("no point was tried".into());
            }
            let plural = if points == 1 { "point" } else { "points" };
            let line = format!(
                "{id}\tcrashlog, in the driver\t{state}, {points} {plural}\t{broken}\t{outcome}\thost, simulated \
                 card\t{requirements}"
            );
            if let Ok(mut table) = table.lock() {
                table.push(line);
            }
            Ok(())
        })
    }
}
