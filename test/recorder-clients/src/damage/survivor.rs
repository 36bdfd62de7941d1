//! A client that finds out whether the system is up.

use std::collections::BTreeMap;

use drv_sdhci_sim::Simulator;
use fault_matrix::image::Image;
use fault_matrix::setup::Setup;
use task_crashlog_api::CrashLogError;

use super::{Thrown, region, throw};
use crate::clients::{FORMAT, append, check_reply, flush, op};
use crate::kernel::{Ended, Request, Script, World};
use crashlog_format::page::Page;
use crashlog_retained::{LogRing, Numbering};
use zerocopy::IntoBytes;

/// Most register accesses between two RECVs.
const MOST_ACCESSES: u64 = 1_000;

/// Most RECVs from a start until the client has its replies. A card of which nothing is known is
/// searched for its end.
const MOST_RECEIVES: u32 = 3_000;

/// The client.
const CLIENT: usize = 6;

/// What it appends.
const PAYLOAD: &[u8] = b"the system is up";

/// Where the record has to be.
#[derive(Debug)]
pub enum Expected {
    /// On the card.
    OnCard,
    /// In RAM: there is no card.
    InRam,
    /// On the card, or in RAM if the card is not used, which then has this content.
    OnUsedCard(BTreeMap<u32, Vec<u32>>),
    /// On the card, whose last page numbers are used up meanwhile, or in RAM after that.
    OnLastPages,
}

/// The client.
pub struct Survivor {
    sim: Simulator,
    expected: Expected,
    receives: u32,
}

impl Survivor {
    /// A client in a system with this slot.
    pub fn new(sim: Simulator, expected: Expected) -> Self {
        Self {
            sim,
            expected,
            receives: 0,
        }
    }

    /// Is the record on the card?
    fn is_on_card(&self) -> bool {
        if matches!(self.expected, Expected::OnLastPages) {
            return self.is_in_a_page();
        }
        let image = Image {
            blocks: Setup::BASE.blocks().into(),
            content: self.sim.card().contents(),
        };
        // A damaged entry may say of a page that was written that it was not.
        let content = image.read_log();
        content.log.values().any(|payload| payload == PAYLOAD)
    }

    /// Is the record in a block of the card that is a whole page? A log without a page number left
    /// cannot be mounted.
    fn is_in_a_page(&self) -> bool {
        let blocks = self.sim.card().contents();
        blocks.into_values().any(|words| {
            let page = Page::parse(words.as_bytes(), FORMAT);
            page.is_ok_and(|page| page.records().any(|record| record.payload == PAYLOAD))
        })
    }
}

/// Is the record in the region? What is there is lost to the recorder: this takes it out.
fn is_in_region() -> bool {
    let (ring, _) = LogRing::recover(&region().0);
    ring.close();
    let mut found = false;
    let mut bytes = [0; 512];
    let numbering = Numbering {
        format: FORMAT,
        next_page: 0,
        boot_offset: 0,
    };
    while let Some(run) = ring.next_run(&numbering, 1) {
        for block in run.blocks {
            block.copy_to(0, &mut bytes);
            if let Ok(page) = Page::parse(&bytes, FORMAT) {
                found |= page.records().any(|record| record.payload == PAYLOAD);
            }
        }
        ring.mark_durable(run.blocks.len(), |_, _| {});
    }
    found
}

impl Script for Survivor {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        self.sim.crash_after(MOST_ACCESSES);
        self.receives += 1;
        assert!(
            self.receives <= MOST_RECEIVES,
            "no reply after {MOST_RECEIVES} RECVs"
        );
        for (_, request, how) in &ended {
            check_reply(request, how);
            match (request.operation, how) {
                (op::APPEND, Ended::Reply(0, _)) => {
                    world.send(CLIENT, flush());
                }
                (op::FLUSH, Ended::Reply(0, _)) if !matches!(self.expected, Expected::InRam) => {
                    assert!(self.is_on_card(), "the record is not on the card");
                    throw(Thrown::Up);
                }
                (op::FLUSH, Ended::Reply(code, _)) if *code == CrashLogError::NotSaving as u32 => {
                    match &self.expected {
                        Expected::OnCard => panic!("the card is not used"),
                        Expected::InRam | Expected::OnLastPages => {}
                        Expected::OnUsedCard(content) => {
                            let now = self.sim.card().contents();
                            assert!(now == *content, "the card is not used, but was written");
                        }
                    }
                    assert!(is_in_region(), "the record is not in the region");
                    throw(Thrown::Up);
                }
                // The recorder was restarted for an emergency.
                (_, Ended::Dead) => {}
                (operation, how) => panic!("operation {operation} has ended with {how:?}"),
            }
        }
        if world.is_idle(CLIENT) {
            world.send(CLIENT, append(PAYLOAD.to_vec()));
        }
        world.sleep_us(1_000_000);
    }
}
