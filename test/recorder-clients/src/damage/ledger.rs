//! Damage of the ledger on a card.

use clients::FORMAT;
use crashlog_format::ledger::Ledger;
use drv_sdhci_sim::SimCard;
use zerocopy::{FromBytes, IntoBytes};

use crate::clients;

/// The word of a ledger that is its checksum.
const CHECKSUM: usize = 1;

/// The word of a ledger that is the number of the next page.
pub(super) const NEXT_PAGE: usize = 7;

/// Copies of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// The one of the last change.
    Newest,
    /// The one before it.
    Older,
    /// Both.
    Both,
}

impl Copies {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Newest, Self::Older, Self::Both];
}

/// Both copies on a card, the older one first: block number and content.
///
/// # Panics
/// If there are not two.
pub(super) fn copies(card: &SimCard) -> [(u32, Ledger); 2] {
    let mut found = card
        .contents()
        .into_iter()
        .filter(|(_, words)| words.first() == Some(&Ledger::MAGIC))
        .map(|(block, words)| {
            let ledger = Ledger::read_from_bytes(words.as_bytes());
            (block, ledger.expect("a block is as long as a ledger"))
        })
        .collect::<Vec<_>>();
    found.sort_by_key(|(_, ledger)| ledger.generation());
    found.try_into().expect("two copies of the ledger")
}

/// The words of a ledger.
pub(super) fn words(ledger: &Ledger) -> Vec<u32> {
    let (words, _) = ledger.as_bytes().as_chunks();
    words.iter().copied().map(u32::from_le_bytes).collect()
}

/// Sets a word of the ledger. The checksum is right afterwards, unless it is the word.
pub(super) fn damage(card: &mut SimCard, which: Copies, word: usize, value: u32) {
    let [older, newest] = copies(card);
    let damaged = match which {
        Copies::Newest => vec![newest],
        Copies::Older => vec![older],
        Copies::Both => vec![older, newest],
    };
    for (block, mut ledger) in damaged {
        let at = word * 4;
        ledger.as_mut_bytes()[at..at + 4].copy_from_slice(&value.to_le_bytes());
        if word != CHECKSUM {
            ledger.seal(FORMAT);
        }
        card.preset(block, &words(&ledger));
    }
}
