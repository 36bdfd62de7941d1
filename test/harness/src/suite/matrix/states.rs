//! A client fails while controller and card are in some state: every state that can be reached by commands.
//!
//! The recorder is idle. When the saboteur is about to fail, the harness plays a driver: it writes to the controller's
//! registers what leads to the state, and lets go.

use super::scene::Scene;
use super::{NOTHING, RECORDED, Row};
use crate::controller::{self, STATES};
use crate::evidence::Crash;
use crate::sabotage::APP;
use anyhow::{Result, ensure};

/// REQ: M2, M3, M4: whatever state controller and card are in, the emergency brings them back.
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

/// What the record must say that the controller was found in, where the state's name leaves no doubt
/// (`crashlog_format::found`).
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
    let records = scene.recovers(&[Crash::panic("saboteur")], seen.accepted)?;
    let said = records
        .first()
        .and_then(|record| record["emergency"]["controller"].as_u64());
    ensure!(
        expected(state).is_none_or(|code| said == Some(code)),
        "the controller was found in state {said:?}, and should be in {:?}",
        expected(state)
    );
    Ok(())
}
