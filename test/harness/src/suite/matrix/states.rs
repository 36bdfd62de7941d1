//! A client fails in each state of controller and card that commands lead to.
//!
//! The recorder is idle. When the saboteur is about to fail, the harness acts as a driver: it
//! writes to the controller's registers what leads to the state, and lets the machine run.

use super::scene::Scene;
use super::{NOTHING, RECORDED, Row};
use crate::controller::{self, STATES};
use crate::evidence::Expected;
use crate::sabotage::APP;
use anyhow::{Result, ensure};

/// REQ: M2, M3, M4: the emergency works from each state of controller and card.
pub fn rows() -> Vec<Row> {
    STATES
        .iter()
        .map(|(id, state, steps)| Row {
            id: format!("state-{id}"),
            who: "a client".to_owned(),
            state: (*state).to_owned(),
            broken: NOTHING,
            outcome: RECORDED,
            requirements: "M2 M3",
            app: APP,
            run: Box::new(|rig| struck(Scene::ready(rig)?, id, steps)),
        })
        .collect()
}

/// The state in which the controller was found, as the crash must say it, where the name of the
/// state tells (codes of `crashlog_format::found`).
fn expected(state: &str) -> Option<u64> {
    match state {
        "clock-off" => Some(2),
        "power-off" => Some(10),
        "status-set" => Some(8),
        _ if state.ends_with("-done") => None,
        _ if state.starts_with("read-") => Some(5),
        _ if state.starts_with("write-") => Some(6),
        _ => None,
    }
}

fn struck(mut scene: Scene<'_>, state: &str, steps: &[controller::Action]) -> Result<()> {
    let seen = scene.strike_idle()?;
    controller::bring(&mut scene.system.debugger, scene.system.slot, steps)?;
    let crashes = scene.recovers(&[Expected::panic("saboteur")], seen.accepted)?;
    let said = crashes
        .first()
        .and_then(|crash| crash["emergency"]["controller"].as_u64());
    ensure!(
        expected(state).is_none_or(|code| said == Some(code)),
        "the crash says that the controller was in state {said:?}, and not {:?}",
        expected(state)
    );
    Ok(())
}
