//! 16550 UART of the AST2600: receive by interrupt, transmit by polling.
//!
//! Receive uses the 16-byte FIFO and its trigger level, if the caller enables the FIFO: the
//! interrupt comes when [`RECEIVE_TRIGGER`] bytes are waiting, or when fewer are waiting and
//! nothing has arrived for four character times. Without the FIFO it comes with each byte. The
//! driver never waits for a byte: the owner of the interrupt calls [`Uart::receive`] until it
//! returns `None`. It may stop earlier, to hold the sender back where the line has flow control;
//! the interrupt then stays pending, so that no byte is forgotten.
//!
//! Transmit polls the status register. Every wait is bounded by a number of polls: if the line
//! never becomes ready, the byte is not sent and the error is [`TransmitStuck`].
//!
//! Registers are those of the NS16550A (PC16550D data sheet, section 8), each in the low byte of a
//! 32-bit word. `unsafe` is used in one place, to turn the fixed address of the registers into a
//! reference.

#![cfg_attr(target_os = "none", no_std)]

pub use drv_uart::{Received, TransmitStuck};

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

/// Address of UART1 (AST2600 memory map), granted by `uses = ["uart1"]`.
pub const UART1_ADDRESS: usize = 0x1e78_3000;

/// Address of UART5 (AST2600 memory map), granted by `uses = ["uart5"]`.
pub const UART5_ADDRESS: usize = 0x1e78_4000;

/// Bytes in the receive FIFO that raise the interrupt.
///
/// Half of the FIFO: at 115 200 baud that leaves 0.7 ms to handle the interrupt before a byte is
/// lost on a line without flow control.
pub const RECEIVE_TRIGGER: usize = 8;

/// Depth of each FIFO, bytes.
pub const FIFO_DEPTH: usize = 16;

/// The UART's clock: 24 MHz through the fixed divider of 13.
const CLOCK_HZ: u32 = 24_000_000 / 13;

/// Polls of the status before a byte is given up. A byte takes 87 us at 115 200 baud; a poll is a
/// bus access of at least 50 ns, so this is the time of at least ten bytes.
const TRANSMIT_POLLS: u32 = 20_000;

register_bitfields![u32,
    InterruptEnable [
        RECEIVED_DATA OFFSET(0) NUMBITS(1) [],
        LINE_STATUS OFFSET(2) NUMBITS(1) [],
    ],
    /// Write side of the register at 0x08; reading it gives the interrupt identification.
    FifoControl [
        ENABLE OFFSET(0) NUMBITS(1) [],
        TRIGGER OFFSET(6) NUMBITS(2) [
            One = 0,
            Four = 1,
            Eight = 2,
            Fourteen = 3,
        ],
    ],
    LineControl [
        WORD_LENGTH OFFSET(0) NUMBITS(2) [
            Eight = 3,
        ],
        DIVISOR_LATCH OFFSET(7) NUMBITS(1) [],
    ],
    LineStatus [
        DATA_READY OFFSET(0) NUMBITS(1) [],
        OVERRUN OFFSET(1) NUMBITS(1) [],
        PARITY OFFSET(2) NUMBITS(1) [],
        FRAMING OFFSET(3) NUMBITS(1) [],
        BREAK OFFSET(4) NUMBITS(1) [],
        HOLDING_EMPTY OFFSET(5) NUMBITS(1) [],
    ],
];

register_structs! {
    /// The first six registers of a 16550 with a stride of four bytes.
    Registers {
        /// RBR on read, THR on write; the divisor's low byte while the latch is open.
        (0x00 => data: ReadWrite<u32>),
        /// IER; the divisor's high byte while the latch is open.
        (0x04 => interrupt_enable: ReadWrite<u32, InterruptEnable::Register>),
        (0x08 => fifo_control: ReadWrite<u32, FifoControl::Register>),
        (0x0c => line_control: ReadWrite<u32, LineControl::Register>),
        (0x10 => modem_control: ReadWrite<u32>),
        (0x14 => line_status: ReadOnly<u32, LineStatus::Register>),
        (0x18 => @END),
    }
}

/// A UART. Holding one proves that no other code uses its registers.
pub struct Uart {
    registers: &'static Registers,
}

impl Uart {
    /// Takes the UART at `address`.
    ///
    /// # Safety
    ///
    /// `address` must be that of an AST2600 UART, for example [`UART1_ADDRESS`], mapped for the
    /// caller as device memory; no other code may use that UART while the value exists.
    #[must_use]
    pub unsafe fn new(address: usize) -> Self {
        // SAFETY: the caller guarantees that the register block of a UART is mapped at the address
        // and that only this value uses it. Memory-mapped registers exist as long as the program
        // runs.
        let registers = unsafe { &*(address as *const Registers) };
        Self { registers }
    }

    /// Sets 8 data bits, no parity, one stop bit and the nearest possible rate to `baud`, and
    /// leaves interrupts off.
    ///
    /// A `baud` of 0 or above a sixteenth of the clock (115 384) means the fastest rate. The FIFOs
    /// and the bytes that wait in the receiver are left unchanged.
    pub fn configure(&mut self, baud: u32) {
        let divisor = divisor(baud);
        let registers = self.registers;
        registers.interrupt_enable.set(0);
        registers
            .line_control
            .write(LineControl::WORD_LENGTH::Eight + LineControl::DIVISOR_LATCH::SET);
        registers.data.set(u32::from(divisor & 0xff));
        registers.interrupt_enable.set(u32::from(divisor >> 8));
        registers
            .line_control
            .write(LineControl::WORD_LENGTH::Eight);
    }

    /// Switches the FIFOs on.
    ///
    /// If they are on already, as after a restart of the task alone, their content is kept.
    /// Otherwise the hardware clears them, and a byte that is waiting, or arrives at that moment,
    /// is lost.
    pub fn enable_fifos(&mut self) {
        self.registers
            .fifo_control
            .write(FifoControl::ENABLE::SET + FifoControl::TRIGGER::Eight);
    }

    /// Enables the interrupt for received bytes.
    pub fn enable_receive_interrupt(&mut self) {
        self.registers
            .interrupt_enable
            .write(InterruptEnable::RECEIVED_DATA::SET + InterruptEnable::LINE_STATUS::SET);
    }

    /// Takes the next byte out of the receive FIFO, if there is one.
    ///
    /// Costs one read of the line status and one of the data register. Taking bytes until `None`
    /// also clears the interrupt.
    pub fn receive(&mut self) -> Option<Received> {
        let status = self.registers.line_status.extract();
        if !status.is_set(LineStatus::DATA_READY) {
            return None;
        }
        let line_error = status.is_set(LineStatus::PARITY)
            || status.is_set(LineStatus::FRAMING)
            || status.is_set(LineStatus::BREAK);
        // The register is one byte in a word; the upper bits are undefined.
        let byte = (self.registers.data.get() & 0xff) as u8;
        Some(Received {
            byte,
            overrun: status.is_set(LineStatus::OVERRUN),
            line_error,
        })
    }

    /// Sends one byte, waiting for room in the transmitter.
    ///
    /// # Errors
    ///
    /// [`TransmitStuck`] if there was no room within the bound; the byte is not sent.
    pub fn transmit(&mut self, byte: u8) -> Result<(), TransmitStuck> {
        for _ in 0..TRANSMIT_POLLS {
            if self.registers.line_status.is_set(LineStatus::HOLDING_EMPTY) {
                self.registers.data.set(u32::from(byte));
                return Ok(());
            }
        }
        Err(TransmitStuck)
    }
}

/// Sends text, and a carriage return before each line feed.
impl core::fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        drv_uart::write_text(text, |byte| self.transmit(byte))
    }
}

/// The 16-bit divisor nearest to `baud`: the clock over sixteen times the rate.
const fn divisor(baud: u32) -> u16 {
    let Some(step) = baud.checked_mul(16) else {
        return 1;
    };
    if step == 0 {
        return 1;
    }
    // Rounded to the nearest. The sum cannot overflow: `step / 2` is below 2^31, and the clock is
    // far below that.
    let nearest = (CLOCK_HZ + step / 2) / step;
    if nearest == 0 {
        1
    } else if nearest > 0xffff {
        0xffff
    } else {
        nearest as u16
    }
}

#[cfg(test)]
mod tests {
    use super::{Registers, TransmitStuck, Uart, divisor};
    use core::fmt::Write;
    use tock_registers::interfaces::{Readable, Writeable};

    /// A register block in plain memory: reads give back the last write.
    fn memory(line_status: u32) -> Uart {
        let words: &'static mut [u32; 6] = Box::leak(Box::new([0; 6]));
        words[5] = line_status;
        // SAFETY: six 4-aligned words are exactly the 0x18 bytes of the block, any bit pattern is
        // valid for it, and the leaked box is never freed and has no other reference.
        let registers = unsafe { &*core::ptr::from_mut(words).cast::<Registers>() };
        Uart { registers }
    }

    #[test]
    fn divisors_are_the_nearest() {
        assert_eq!(divisor(115_200), 1);
        assert_eq!(divisor(57_600), 2);
        assert_eq!(divisor(9_600), 12);
        assert_eq!(divisor(0), 1);
        assert_eq!(divisor(1), 0xffff);
        assert_eq!(divisor(u32::MAX), 1);
    }

    #[test]
    fn configuring_ends_with_the_latch_closed_and_leaves_the_fifos() {
        let mut uart = memory(0);
        uart.configure(9_600);
        assert_eq!(uart.registers.data.get(), 12);
        assert_eq!(uart.registers.line_control.get(), 0x03);
        assert_eq!(uart.registers.fifo_control.get(), 0);
        uart.enable_fifos();
        assert_eq!(uart.registers.fifo_control.get(), 0x81);
        uart.enable_receive_interrupt();
        assert_eq!(uart.registers.interrupt_enable.get(), 0x05);
    }

    #[test]
    fn receive_distinguishes_bytes_errors_and_no_byte() {
        assert_eq!(memory(0x60).receive(), None);
        let uart = &mut memory(0x63);
        uart.registers.data.set(0xff);
        let received = uart.receive().unwrap();
        assert_eq!(received.byte, 0xff);
        assert!(received.overrun && !received.line_error);
        assert!(memory(0x09).receive().unwrap().line_error);
    }

    #[test]
    fn a_wait_for_a_stuck_transmitter_ends() {
        assert_eq!(memory(0).transmit(b'x'), Err(TransmitStuck));
        assert!(write!(memory(0), "text").is_err());
        assert!(writeln!(memory(0x20), "text").is_ok());
    }
}
