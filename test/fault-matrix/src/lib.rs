//! The host half of the fault matrix: the drivers against a simulated controller and card.
//!
//! What no emulator shows (a card that is busy, answers wrongly, falls silent, is taken out; a controller that hangs) is
//! shown here. Normal operation is interrupted before each of its register accesses, one after the other; the state that
//! controller and card are then in is copied, something is broken in the copy or nothing is, and the emergency path has
//! to write its record there. It is the very code that runs on the target.
//!
//! * [`point`]: where normal operation is interrupted;
//! * [`broken`]: what else is broken then;
//! * [`slot`]: a controller with its card, the memory of the drivers, and what every emergency has to keep to;
//! * [`rows`]: one row for each combination that makes sense. A row is a test; its name does not change.
//!
//! The same again with the recorder's store on top, where not blocks are checked but what was promised to those who log:
//!
//! * [`recorder`]: the recorder in the small, and what it has to answer for;
//! * [`image`]: what is on a card, read without its driver;
//! * [`store_rows`]: the rows.
#![forbid(unsafe_code)]

pub mod broken;
pub mod image;
pub mod point;
pub mod recorder;
pub mod rows;
pub mod slot;
pub mod store_rows;

use libtest_mimic::{Failed, Trial};
use std::sync::{Arc, Mutex};

/// One row.
pub struct Row {
    /// Name, stable.
    pub id: String,
    /// SimCardState of controller and card.
    pub state: String,
    /// What is broken beside it.
    pub broken: String,
    /// What is checked.
    pub outcome: &'static str,
    /// Requirements that the row proves a part of.
    pub requirements: String,
    /// Runs it: panics if a check fails, returns the number of points that were interrupted.
    pub run: Box<dyn FnOnce() -> u32 + Send>,
}

/// Lines of the table, one for each row that was run and is good.
pub type Table = Arc<Mutex<Vec<String>>>;

impl Row {
    /// As a test that adds its line to the table.
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
