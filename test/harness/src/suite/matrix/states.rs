//! A client fails while controller and card are in some state: every state that can be reached by commands.
//!
//! The recorder is idle. When the saboteur is about to fail, the harness plays a driver: it writes to the controller's
//! registers what leads to the state, and lets go.

use super::scene::{NOWHERE, Scene};
use super::{NOTHING, RECORDED, Row};
use crate::controller::{self, STATES};
use crate::evidence::Crash;
use crate::sabotage::{APP, Deed, Work, task};
use anyhow::Result;

/// REQ: M2, M3, M4: whatever state controller and card are in, the emergency brings them back.
pub fn rows() -> Vec<Row> {
    let mut rows: Vec<_> = STATES
        .iter()
        .map(|(id, state, steps)| Row {
            id: format!("state-{id}"),
            who: "a client".to_owned(),
            state: (*state).to_owned(),
            broken: NOTHING,
            outcome: RECORDED,
            requirements: "M2 M3",
            app: APP,
            run: Box::new(|rig| struck(Scene::ready(rig)?, steps)),
        })
        .collect();
    rows.push(Row {
        id: "card-4-gib".to_owned(),
        who: "a client, ten times, then the recorder".to_owned(),
        state: "a card of 4 GiB, addressed by blocks; at ten moments of a flush, and in its driver"
            .to_owned(),
        broken: NOTHING,
        outcome: RECORDED,
        requirements: "M10 M3",
        app: APP,
        run: Box::new(|rig| large(Scene::with_card_of(rig, "4G")?)),
    });
    rows
}

fn large(mut scene: Scene<'_>) -> Result<()> {
    scene.boot()?;
    for moment in 1..=10 {
        let deed = Deed::Jump(NOWHERE + 4 * moment);
        let seen = scene.strike(Work::Flush(12), 2_000 * moment, deed)?;
        scene.recovers(&[Crash::panic("saboteur")], seen.accepted)?;
    }
    let deed = Deed::Fault(task::CRASHLOG);
    let seen = scene.strike(Work::Flush(12), 9_000, deed)?;
    scene
        .recovers(&[Crash::panic("crashlog")], seen.accepted)
        .map(drop)
}

fn struck(mut scene: Scene<'_>, steps: &[controller::Do]) -> Result<()> {
    let seen = scene.strike_idle()?;
    controller::bring(&mut scene.system.debugger, scene.system.slot, steps)?;
    scene
        .recovers(&[Crash::panic("saboteur")], seen.accepted)
        .map(drop)
}
