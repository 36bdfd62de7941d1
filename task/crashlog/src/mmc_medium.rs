//! A card behind an SDHCI slot as the medium of an emergency.
//!
//! For another medium this file and `hardware.rs` are replaced: see
//! [`crashlog_store::emergency::EmergencyMedium`].

use block_device::{Block, PolledDevice};
use crashlog_format::{EmergencyFailure, EmergencyStep, Outcome};
use crashlog_store::emergency::{EmergencyMedium, KnownMedium};
use drv_mmc::emergency::{EmergencyCard, PhaseFailure};
use drv_mmc::{CardLocation, EmergencyReport, Error, found};
use drv_sdhci::emergency::Clock;
use drv_sdhci::{ErrorKind, Platform, Registers};
use zerocopy::{FromBytes, IntoBytes};

/// The card, with the driver of the emergency path.
#[derive(Debug)]
pub struct MmcMedium<'a, R, P, C>(pub EmergencyCard<'a, R, P, C>);

impl<R: Registers, P: Platform, C: Clock> PolledDevice for MmcMedium<'_, R, P, C> {
    type Error = PhaseFailure;

    #[inline(always)]
    fn block_count(&self) -> u64 {
        self.0.block_count()
    }

    #[inline(always)]
    fn read(&mut self, first: u64, blocks: &[Block]) -> Result<(), PhaseFailure> {
        self.0.read(first, blocks)
    }

    #[inline(always)]
    fn write(&mut self, first: u64, blocks: &[Block]) -> Result<(), PhaseFailure> {
        self.0.write(first, blocks)
    }

    #[inline(always)]
    fn write_reliable(&mut self, block: u64, data: &Block) -> Result<(), PhaseFailure> {
        self.0.write_reliable(block, data)
    }

    #[inline(always)]
    fn flush(&mut self) -> Result<(), PhaseFailure> {
        self.0.flush()
    }
}

impl<R: Registers, P: Platform, C: Clock> EmergencyMedium for MmcMedium<'_, R, P, C> {
    #[inline(always)]
    fn prepare(&mut self, known: &KnownMedium) -> Result<(), PhaseFailure> {
        self.0.prepare(&card_of(known)).map(|_| ())
    }

    #[inline(always)]
    fn known(&self, known: &mut KnownMedium) {
        let card = self.0.location().as_bytes();
        if let Some(known) = known.first_chunk_mut::<{ size_of::<CardLocation>() }>() {
            known.copy_from_slice(card);
        }
    }

    #[inline(always)]
    fn complete(&mut self) -> Result<(), PhaseFailure> {
        self.0.complete().map(|_| ())
    }

    #[inline(always)]
    fn write_again(&mut self, try_ms: u32) {
        self.0.write_again(try_ms);
    }

    /// Copies what the driver has found and done into the outcome.
    #[inline(never)]
    fn note(&self, outcome: &mut Outcome) {
        let EmergencyReport {
            controller,
            card_state,
            steps,
            retries,
            last_error,
            command,
            mode,
            blocks_left,
            phase_ms,
            drain,
            ..
        } = self.0.report();
        outcome.controller = controller;
        outcome.card = card_state;
        outcome.retries = retries.into();
        outcome.error = last_error.into();
        outcome.repairs = steps.into();
        outcome.blocks_left = blocks_left.into();
        outcome.phase_ms = phase_ms.map(Into::into);
        outcome.drain = drain;
        outcome.command = command;
        outcome.mode = mode;
        if steps & found::step::PREPARED != 0 {
            outcome.finish(EmergencyStep::ControllerReset);
            outcome.finish(EmergencyStep::CardReady);
        }
    }

    fn not_ready(failure: PhaseFailure) -> EmergencyFailure {
        match failure.error {
            Error::NoCard => EmergencyFailure::NoCard,
            Error::Deadline => EmergencyFailure::Timeout,
            Error::Host(error) => match error.kind {
                ErrorKind::CardGone => EmergencyFailure::NoCard,
                ErrorKind::ResetStuck | ErrorKind::ClockUnstable => EmergencyFailure::Controller,
                _ => EmergencyFailure::Card,
            },
            _ => EmergencyFailure::Card,
        }
    }

    fn not_written(failure: PhaseFailure) -> EmergencyFailure {
        match failure.error {
            Error::Deadline => EmergencyFailure::Timeout,
            _ => EmergencyFailure::Device,
        }
    }
}

/// What is known of the card; the default value, which is that of no card, if nothing is.
fn card_of(known: &KnownMedium) -> CardLocation {
    CardLocation::read_from_prefix(known).map_or_else(|_| CardLocation::default(), |(card, _)| card)
}

const _: () = assert!(size_of::<CardLocation>() <= size_of::<KnownMedium>());
