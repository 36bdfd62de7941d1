//! A card that has hardly a page number left.

use block_device::{Block, Window, now_or_never};
use crashlog_format::page::PageHeader;
use crashlog_store::{Store, find_partition};
use drv_sdhci_sim::SimCard;
use fault_matrix::image::{Image, OPTIONS, PARTITION};
use fault_matrix::setup::Setup;
use recorder_clients::clients::{
    FIRST_CLIENT, append, check_reply, end_run, formatted_card, op, request, run_with,
};
use recorder_clients::kernel::{Ended, Request, Script, World};
use task_crashlog_api::{RecorderState, RecorderStatus, UnsavedReason};
use zerocopy::IntoBytes;

/// The number of the page on the card: two numbers follow that a page may have.
const LAST: u32 = u32::MAX - 3;

/// In milliseconds. The recorder looks at a card that has failed again after 5 s.
const BOOT: u64 = 12_000;

struct Appender {
    acts: u32,
    /// When the client makes its next request.
    next: u64,
    state: Option<RecorderState>,
}

impl Script for Appender {
    fn act(&mut self, world: &World, ended: Vec<(usize, Request, Ended)>) {
        for (_, request, how) in &ended {
            check_reply(request, how);
            if let (op::STATUS, Ended::Reply(0, bytes)) = (request.operation, how) {
                let (status, _) = hubpack::deserialize::<RecorderStatus>(bytes).expect("a status");
                self.state = Some(status.state);
            }
        }
        if world.now() >= BOOT {
            let exhausted = RecorderState::RamOnly(UnsavedReason::Exhausted);
            assert_eq!(self.state, Some(exhausted));
            end_run();
        }
        if world.is_idle(FIRST_CLIENT) && world.now() >= self.next {
            self.next = world.now() + 50;
            self.acts += 1;
            let request = if self.acts.is_multiple_of(4) {
                request(op::STATUS, &[], Vec::new())
            } else {
                append(vec![7; 200])
            };
            world.send(FIRST_CLIENT, request);
        }
    }
}

/// A formatted card with one page, which has the number [`LAST`].
fn card() -> SimCard {
    let mut card = formatted_card();
    let mut image = Image {
        blocks: Setup::BASE.blocks().into(),
        content: card.contents(),
    };
    let scratch: Vec<Block> = (0..16).map(|_| Block::zeroed()).collect();
    let found = now_or_never(find_partition(&mut image, PARTITION, &scratch));
    let partition = found.expect("ready").expect("a partition");
    let window = Window::new(image, partition.place.first, partition.place.blocks);
    let window = window.expect("on the card");
    let store = now_or_never(Store::mount(window, &partition, OPTIONS, &scratch));
    let store = store.expect("ready").expect("an empty log");
    let page = Block::zeroed();
    let header = PageHeader::new(store.format(), LAST, 1, 1, 0, 0);
    page.copy_from(0, header.as_bytes());
    // At a place that bisection does not look at: only the window behind the end has it.
    let place = partition.place.first as u32 + store.geometry().page(3);
    let words: Vec<u32> = (0..128).map(|word| page.word(word)).collect();
    card.preset(place, &words);
    card
}

/// The recorder writes the pages that have a number, says that there is no other, and goes on.
#[test]
fn a_card_without_page_numbers_is_not_written_and_the_recorder_lives() {
    let appender = Appender {
        acts: 0,
        next: 0,
        state: None,
    };
    run_with(card(), |_| Box::new(appender));
}
