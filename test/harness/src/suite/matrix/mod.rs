//! The rows of the fault matrix in QEMU: who fails, in which state of controller and card, and what
//! else is broken.
//!
//! Each row is a test, `matrix::<id>`. If the variable `FAULT_MATRIX_OUT` names a folder, a row
//! that passes writes its line there, from which [`crate::matrix_document`] makes the document.

mod bounds;
mod cards;
mod clients;
mod damage;
mod errors;
mod full;
pub mod hangs;
mod moments;
mod recorder;
mod retained;
mod row;
mod run;
pub(super) mod scene;
mod snapshot;
mod states;
mod supervisor;
mod suspended;
pub(super) mod system;
mod used_card;

pub use run::run;

use super::{Cases, Session};
use crate::build::SABOTEUR_IMX6UL;
use crate::matrix_document::{self, FOLDER, Matrix};
use crate::sabotage::APP;
use libtest_mimic::Trial;
use row::{IDLE, NOTHING, RECORDED, Row};
use std::path::PathBuf;
use std::sync::Arc;

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
            "A client or the recorder fails at certain points of the recorder's work",
            moments::rows(),
        ),
        (
            "Controller and card are suspended, or are being suspended or resumed",
            suspended::rows(),
        ),
        ("The recorder itself fails", recorder::rows()),
        (
            "Two tasks fail at once; the idle task, the supervisor or the kernel fails",
            system::rows(),
        ),
        (
            "A program is in an endless loop outside of an emergency",
            hangs::rows(),
        ),
        (
            "The supervisor hangs or fails while it describes a crash",
            supervisor::rows(),
        ),
        (
            "The snapshot of the memory dies while it is made or written",
            snapshot::rows(),
        ),
        (
            "Bounded time: the watchdog, a stopped time source, a controller that does not answer",
            bounds::rows(),
        ),
        ("Errors of commands and transfers", errors::rows()),
        (
            "The card is removed, replaced or write protected",
            cards::rows(),
        ),
        ("What is on the card is damaged", damage::rows()),
        ("The log or the slots for crashes are full", full::rows()),
        ("Retained RAM is damaged", retained::rows()),
    ]
    .into_iter()
    .map(|(title, rows)| Group { title, rows })
    .collect()
}

/// One test for each row, and one for the document.
pub fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let mut trials = rows_as_trials(session, folder);
    trials.extend(rows_on_imx6ul(session));
    let session = session.clone();
    trials.push(Trial::test("matrix::document", move || {
        session.count(listed().check().map(|()| Cases::one()))
    }));
    trials
}

/// REQ: X16 (in part: a second controller and board): the rows in which tasks, the supervisor or
/// the kernel fail, on the i.MX 6UltraLite: another kernel entry, other watchdogs and timers. The
/// document does not list them again.
fn rows_on_imx6ul(session: &Arc<Session>) -> Vec<Trial> {
    let groups = [
        clients::rows(),
        recorder::rows(),
        system::rows(),
        hangs::rows(),
        supervisor::rows(),
    ];
    groups
        .into_iter()
        .flatten()
        .filter(|row| row.app == APP)
        .map(|row| {
            let name = format!("mcimx6ul-evk::matrix::{}", row.id);
            session.trial(name, SABOTEUR_IMX6UL, move |rig| {
                (row.run)(rig)?;
                Ok(Cases::one())
            })
        })
        .collect()
}

/// Every row that exists, as it is listed.
fn listed() -> Matrix {
    let qemu = groups().into_iter().map(|group| matrix_document::Group {
        title: group.title,
        lines: group.rows.iter().map(Row::line).collect(),
    });
    Matrix {
        qemu: qemu.collect(),
        host: matrix_document::host_rows(),
    }
}

/// One test for each row; a row that passes writes its line into the folder.
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
