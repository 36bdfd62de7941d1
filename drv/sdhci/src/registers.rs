//! The register set (section 2), and the access to it.
//!
//! Names are those of the specification. Registers narrower than 32 bits are defined as one with
//! their neighbours, and always read and written as a whole.

use core::marker::PhantomData;
use tock_registers::fields::FieldValue;
use tock_registers::{LocalRegisterCopy, RegisterLongName};

mod fields;

/// Value of the interrupt status register.
pub(crate) type InterruptStatus = LocalRegisterCopy<u32, Interrupt::Register>;
/// Some bits of the interrupt status register.
pub(crate) type InterruptBits = FieldValue<u32, Interrupt::Register>;

pub use fields::{
    Blocks, Capabilities, Capabilities2, ClockControl, HostControl, HostControl2, Interrupt,
    PresentState, TransferMode, Version,
};

/// A register: its offset, and as type parameter its fields.
#[derive(Debug)]
pub struct Register<R> {
    offset: u8,
    fields: PhantomData<R>,
}

impl<R> Register<R> {
    const fn at(offset: u8) -> Self {
        Self {
            offset,
            fields: PhantomData,
        }
    }

    /// Offset from the start of the slot, bytes.
    #[must_use]
    pub const fn offset(&self) -> u8 {
        self.offset
    }
}

/// The registers of one slot: of the hardware ([`crate::Mmio`]), or of a simulated controller in a
/// test.
pub trait Registers {
    /// Whether the controller sets Transfer Complete, and interrupts, when a command with busy
    /// (R1b) and without data has ended. If not, the status register has the bit all the same when
    /// it is read, and the driver polls for it.
    const INTERRUPTS_AT_END_OF_BUSY: bool = true;

    /// Reads the 32-bit register at `offset`, a multiple of 4.
    fn load(&self, offset: u8) -> u32;

    /// Writes the 32-bit register at `offset`, a multiple of 4.
    fn store(&self, offset: u8, value: u32);

    /// Makes what the processor has written to memory visible to the controller's DMA, and what DMA
    /// has written visible to the processor. Called before DMA starts and after it has ended. The
    /// default is a fence, which is enough for coherent memory.
    #[inline(always)]
    fn barrier(&self) {
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }

    /// Reads a register.
    #[inline(always)]
    fn read<R: RegisterLongName>(&self, register: Register<R>) -> LocalRegisterCopy<u32, R> {
        LocalRegisterCopy::new(self.load(register.offset))
    }

    /// Writes a register; fields that are not named become 0.
    #[inline(always)]
    fn write<R: RegisterLongName>(&self, register: Register<R>, value: FieldValue<u32, R>) {
        self.store(register.offset, value.value);
    }

    /// Writes a register that is one number.
    #[inline(always)]
    fn set<R>(&self, register: Register<R>, value: u32) {
        self.store(register.offset, value);
    }
}

impl<T: Registers> Registers for &T {
    const INTERRUPTS_AT_END_OF_BUSY: bool = T::INTERRUPTS_AT_END_OF_BUSY;

    #[inline(always)]
    fn load(&self, offset: u8) -> u32 {
        (**self).load(offset)
    }

    #[inline(always)]
    fn store(&self, offset: u8, value: u32) {
        (**self).store(offset, value);
    }

    #[inline(always)]
    fn barrier(&self) {
        (**self).barrier();
    }
}

/// Argument 2 (2.2.1 in version 3.00): the block count that Auto CMD23 sends.
pub const ARGUMENT_2: Register<()> = Register::at(0x00);
/// Block Size and Block Count (2.2.2, 2.2.3).
pub const BLOCKS: Register<Blocks::Register> = Register::at(0x04);
/// Argument (2.2.4).
pub const ARGUMENT: Register<()> = Register::at(0x08);
/// Transfer Mode and Command (2.2.5, 2.2.6). Writing it starts the command.
pub const COMMAND: Register<TransferMode::Register> = Register::at(0x0C);
/// Response (2.2.7), bits 31:0.
pub const RESPONSE_0: Register<()> = Register::at(0x10);
/// Response, bits 63:32.
pub const RESPONSE_1: Register<()> = Register::at(0x14);
/// Response, bits 95:64.
pub const RESPONSE_2: Register<()> = Register::at(0x18);
/// Response, bits 127:96; also the response of Auto CMD12.
pub const RESPONSE_3: Register<()> = Register::at(0x1C);
/// Buffer Data Port (2.2.8).
pub const BUFFER: Register<()> = Register::at(0x20);
/// Present State (2.2.9).
pub const PRESENT_STATE: Register<PresentState::Register> = Register::at(0x24);
/// Host Control 1, Power Control, Block Gap Control, Wakeup Control (2.2.10 to 2.2.13).
pub const HOST_CONTROL: Register<HostControl::Register> = Register::at(0x28);
/// Clock Control, Timeout Control, Software Reset (2.2.14 to 2.2.16).
pub const CLOCK_CONTROL: Register<ClockControl::Register> = Register::at(0x2C);
/// Normal and Error Interrupt Status (2.2.17, 2.2.18); writing 1 clears.
pub const INTERRUPT_STATUS: Register<Interrupt::Register> = Register::at(0x30);
/// Normal and Error Interrupt Status Enable (2.2.19, 2.2.20): which status bits can be set at all.
pub const INTERRUPT_STATUS_ENABLE: Register<Interrupt::Register> = Register::at(0x34);
/// Normal and Error Interrupt Signal Enable (2.2.21, 2.2.22): which status bits interrupt the
/// processor.
pub const INTERRUPT_SIGNAL_ENABLE: Register<Interrupt::Register> = Register::at(0x38);
/// Auto CMD Error Status and Host Control 2 (2.2.23, 2.2.24 in version 3.00).
pub const HOST_CONTROL_2: Register<HostControl2::Register> = Register::at(0x3C);
/// Capabilities (2.2.26), bits 31:0.
pub const CAPABILITIES: Register<Capabilities::Register> = Register::at(0x40);
/// Capabilities (2.2.26), bits 63:32.
pub const CAPABILITIES_2: Register<Capabilities2::Register> = Register::at(0x44);
/// Force Event for Auto CMD and for Error Interrupt Status (2.2.28, 2.2.29).
pub const FORCE_EVENT: Register<()> = Register::at(0x50);
/// ADMA Error Status (2.2.30).
pub const ADMA_ERROR_STATUS: Register<()> = Register::at(0x54);
/// ADMA System Address (2.2.31), bits 31:0.
pub const ADMA_ADDRESS: Register<()> = Register::at(0x58);
/// Slot Interrupt Status and Host Controller Version (2.2.33, 2.2.34).
pub const VERSION: Register<Version::Register> = Register::at(0xFC);
