//! Cards that answer anything: every procedure ends, nothing panics, and no address is off the
//! card.

use block_device::Block;
use drv_mmc::csd::Csd;
use drv_mmc::ext_csd::ExtCsd;
use drv_mmc::identify::{Identification, IdentificationOptions};
use drv_mmc::procedure::{Action, Procedure, Reply};
use drv_mmc::recover::CardRecovery;
use drv_mmc::state::{CardState, StatusError};
use drv_mmc::{CardKind, CardLocation, Error};
use drv_sdhci::ErrorKind;
use proptest::prelude::*;
use zerocopy::FromBytes;

/// More actions than any procedure may have: two families, each polled for a second for the end of
/// its power-up, with up to three actions each time, once over the fast bus and once over the slow
/// one.
const MOST_ACTIONS: u32 = 4 * 3 * 1_000 + 200;

fn kinds() -> impl Strategy<Value = CardKind> {
    prop_oneof![Just(CardKind::Emmc), Just(CardKind::Sd)]
}

/// What a card may answer: anything, often what a healthy card would.
fn replies() -> impl Strategy<Value = Reply> {
    let status = prop_oneof![
        Just(0x900u32),
        Just(0x700),
        Just(0xE00),
        Just(0x80FF_8000),
        Just(0xC0FF_8000),
        Just(0x00FF_8000),
        Just(0x1AA),
        any::<u32>(),
    ];
    let answer = (status, any::<[u32; 3]>()).prop_map(|(first, [a, b, c])| Ok([first, a, b, c]));
    let kind = prop::sample::select(&ErrorKind::ALL[..]);
    let error =
        (kind, any::<u8>()).prop_map(|(kind, command)| Err(drv_sdhci::Error { kind, command }));
    let silence = Just(Err(drv_sdhci::Error {
        kind: ErrorKind::CommandTimeout,
        command: 0,
    }));
    prop_oneof![8 => answer, 1 => error, 1 => silence]
}

fn block(bytes: &[u8]) -> Block {
    let block = Block::zeroed();
    block.copy_from(0, bytes);
    block
}

/// Carries a procedure out with these replies, repeated as often as needed. Returns how it ended,
/// and after how many actions.
fn carry_out(
    procedure: &mut Procedure,
    replies: &[Reply],
    data: &Block,
) -> (Result<(), Error>, u32) {
    let mut reply = Ok([0; 4]);
    for number in 0..MOST_ACTIONS {
        match procedure.next(reply, data) {
            Ok(Action::Done) => return (Ok(()), number),
            Ok(Action::Bus(bus)) => {
                assert!(matches!(bus.lines, 1 | 4 | 8));
                assert!(bus.clock_hz <= 52_000_000);
                reply = Ok([0; 4]);
            }
            Ok(Action::Delay(ms)) => {
                assert!(ms <= 36);
                reply = Ok([0; 4]);
            }
            Ok(Action::Command(_) | Action::Read(..)) => {
                reply = replies[number as usize % replies.len()];
            }
            Err(error) => return (Err(error), number),
        }
    }
    panic!("more than {MOST_ACTIONS} actions");
}

fn check_location(location: &CardLocation) {
    assert!(matches!(location.lines, 1 | 4 | 8));
    let blocks = u64::from(location.blocks);
    for first in [0, 1, blocks.saturating_sub(1), blocks, blocks + 1, u64::MAX] {
        for count in [0, 1, 2, usize::MAX] {
            let inside = first
                .checked_add(count as u64)
                .is_some_and(|end| end <= blocks);
            assert!(inside || location.address(first, count).is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn identification_ends_whatever_a_card_answers(
        first in kinds(),
        lines in prop::sample::select(&[1u8, 4, 8][..]),
        choices in any::<[bool; 7]>(),
        replies in prop::collection::vec(replies(), 1..40),
        data in prop::collection::vec(any::<u8>(), 512),
    ) {
        let [fast, cache, sleep, power_off_notification, has_3_volts, write_protected, dual_rate] =
            choices;
        let options = IdentificationOptions {
            first, lines, fast, cache, sleep, power_off_notification,
            has_3_volts, write_protected, ramp_ms: 35, dual_rate, most_silences: 100,
        };
        let mut procedure = Procedure::Identify(Identification::new(options));
        let (result, _) = carry_out(&mut procedure, &replies, &block(&data));
        if let (Ok(()), Procedure::Identify(identification)) = (result, &procedure) {
            check_location(identification.location());
            prop_assert!(identification.location().kind().is_some());
        }
    }

    #[test]
    fn recovery_ends_whatever_a_card_answers(
        location in any::<[u8; size_of::<CardLocation>()]>(),
        delays in 0u32..300,
        replies in prop::collection::vec(replies(), 1..40),
    ) {
        let location = CardLocation::read_from_bytes(&location).expect("any bytes are a location");
        let mut procedure = Procedure::Recover(CardRecovery::new(&location, delays));
        let (_, actions) = carry_out(&mut procedure, &replies, &Block::zeroed());
        prop_assert!(actions <= 2 * (delays + 8) + 8, "{} actions", actions);
    }

    #[test]
    fn registers_of_any_content_are_parsed(
        response in any::<[u32; 4]>(),
        kind in kinds(),
        data in prop::collection::vec(any::<u8>(), 512),
    ) {
        if let Some(csd) = Csd::parse(response, kind) {
            prop_assert!(csd.blocks > 0);
        }
        if let Some(ext_csd) = ExtCsd::parse(&block(&data)) {
            let sectors = [data[212], data[213], data[214], data[215]];
            prop_assert_eq!(ext_csd.sectors, u32::from_le_bytes(sectors));
            prop_assert_eq!(ext_csd.revision, data[192]);
            prop_assert!(ext_csd.hpi <= 3);
        }
    }

    #[test]
    fn status_and_error_codes_of_any_value_are_decoded(status in any::<u32>(), mask in any::<u32>()) {
        let _ = CardState::of(status);
        if let Some(error) = StatusError::decode(status, mask) {
            prop_assert_ne!(status & mask & 1 << error as u32, 0);
        }
        if let Some(error) = Error::from_code(status) {
            prop_assert_eq!(error.code(), status);
        }
    }
}
