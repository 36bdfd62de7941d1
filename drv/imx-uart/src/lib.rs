//! UART of NXP's i.MX 6 and i.MX 7: receive by interrupt, transmit by polling.
//!
//! The receiver has a FIFO of 32 bytes, always. The interrupt comes when as many bytes are waiting
//! as the trigger level says: one, or [`RECEIVE_TRIGGER`] after [`Uart::enable_fifos`], and then
//! also when fewer are waiting and nothing has arrived for eight character times. The driver never
//! waits for a byte: the owner of the interrupt calls [`Uart::receive`] until it returns `None`. It
//! may stop earlier, to hold the sender back where the line has flow control; the interrupt then
//! stays pending, so that no byte is forgotten.
//!
//! Transmit polls the status register. Every wait is bounded by a number of polls: if the line
//! never becomes ready, the byte is not sent and the error is [`TransmitStuck`].
//!
//! Registers are those of the *i.MX 6UltraLite Applications Processor Reference Manual* (IMX6ULRM),
//! chapter 55, UART. `unsafe` is used in one place, to turn the fixed address of the registers into
//! a reference.

#![cfg_attr(target_os = "none", no_std)]

pub use drv_uart::{Received, TransmitStuck};

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

/// Address of UART1 (i.MX 6UltraLite memory map), granted by `uses = ["uart1"]`.
pub const UART1_ADDRESS: usize = 0x0202_0000;

/// Address of UART5 (i.MX 6UltraLite memory map), granted by `uses = ["uart5"]`.
pub const UART5_ADDRESS: usize = 0x021f_4000;

/// Bytes in the receive FIFO that raise the interrupt, once [`Uart::enable_fifos`] is called.
///
/// Half of the FIFO: at 115 200 baud that leaves 1.4 ms to handle the interrupt before a byte is
/// lost on a line without flow control.
pub const RECEIVE_TRIGGER: usize = 16;

/// Depth of each FIFO, bytes.
pub const FIFO_DEPTH: usize = 32;

/// The UART's clock: that of PLL3, 480 MHz, through its fixed divider of 6 (IMX6ULRM, CCM).
const CLOCK_HZ: u32 = 80_000_000;

/// Polls of the status before a byte is given up. A byte takes 87 us at 115 200 baud; a poll is a
/// bus access of at least 50 ns, so this is the time of at least ten bytes.
const TRANSMIT_POLLS: u32 = 20_000;

register_bitfields![u32,
    Receiver [
        DATA OFFSET(0) NUMBITS(8) [],
        PARITY OFFSET(10) NUMBITS(1) [],
        BREAK OFFSET(11) NUMBITS(1) [],
        FRAMING OFFSET(12) NUMBITS(1) [],
        /// The byte took the last place of the FIFO; after it bytes may have been lost.
        LAST_PLACE OFFSET(13) NUMBITS(1) [],
        READY OFFSET(15) NUMBITS(1) [],
    ],
    Control1 [
        ENABLE OFFSET(0) NUMBITS(1) [],
        /// Interrupt when the trigger level of the receive FIFO is reached.
        RECEIVER_READY OFFSET(9) NUMBITS(1) [],
    ],
    Control2 [
        /// 0 resets the FIFOs and the state machines.
        NO_RESET OFFSET(0) NUMBITS(1) [],
        RECEIVER_ENABLE OFFSET(1) NUMBITS(1) [],
        TRANSMITTER_ENABLE OFFSET(2) NUMBITS(1) [],
        /// Interrupt when bytes have waited below the trigger level for eight character times.
        AGING_TIMER OFFSET(3) NUMBITS(1) [],
        EIGHT_BITS OFFSET(5) NUMBITS(1) [],
        IGNORE_RTS OFFSET(14) NUMBITS(1) [],
    ],
    Control3 [
        /// Has to be set on this chip.
        RECEIVE_MUX OFFSET(2) NUMBITS(1) [],
    ],
    FifoControl [
        RECEIVE_TRIGGER OFFSET(0) NUMBITS(6) [],
        CLOCK_DIVIDER OFFSET(7) NUMBITS(3) [
            One = 5,
        ],
        TRANSMIT_TRIGGER OFFSET(10) NUMBITS(6) [],
    ],
    Status1 [
        /// Writing 1 clears it.
        AGING_TIMER OFFSET(8) NUMBITS(1) [],
    ],
    Status2 [
        /// Bytes were lost because the FIFO was full. Writing 1 clears it.
        OVERRUN OFFSET(1) NUMBITS(1) [],
    ],
    Test [
        TRANSMITTER_FULL OFFSET(4) NUMBITS(1) [],
    ],
];

register_structs! {
    /// The registers of a UART.
    Registers {
        (0x00 => receiver: ReadOnly<u32, Receiver::Register>),
        (0x04 => _reserved0),
        (0x40 => transmitter: WriteOnly<u32>),
        (0x44 => _reserved1),
        (0x80 => control1: ReadWrite<u32, Control1::Register>),
        (0x84 => control2: ReadWrite<u32, Control2::Register>),
        (0x88 => control3: ReadWrite<u32, Control3::Register>),
        (0x8c => control4: ReadWrite<u32>),
        (0x90 => fifo_control: ReadWrite<u32, FifoControl::Register>),
        (0x94 => status1: ReadWrite<u32, Status1::Register>),
        (0x98 => status2: ReadWrite<u32, Status2::Register>),
        (0x9c => _reserved2),
        (0xa4 => rate_increment: ReadWrite<u32>),
        (0xa8 => rate_modulator: ReadWrite<u32>),
        (0xac => _reserved3),
        (0xb4 => test: ReadOnly<u32, Test::Register>),
        (0xb8 => @END),
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
    /// `address` must be that of a UART of the i.MX 6 or i.MX 7, for example [`UART1_ADDRESS`],
    /// mapped for the caller as device memory; no other code may use that UART while the value
    /// exists.
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
    /// The slowest rate is 1221 baud; a `baud` below means that one, and 0 the fastest. The bytes
    /// that wait in the receiver are left unchanged.
    pub fn configure(&mut self, baud: u32) {
        let registers = self.registers;
        registers.control1.write(Control1::ENABLE::SET);
        registers.control2.write(
            Control2::NO_RESET::SET
                + Control2::RECEIVER_ENABLE::SET
                + Control2::TRANSMITTER_ENABLE::SET
                + Control2::EIGHT_BITS::SET
                + Control2::IGNORE_RTS::SET,
        );
        registers.control3.modify(Control3::RECEIVE_MUX::SET);
        registers.control4.set(0);
        self.set_trigger(1);
        // The rate is clock / 16 x (increment + 1) / (modulator + 1). The increment comes first
        // (IMX6ULRM, UARTx_UBIR).
        registers.rate_increment.set(15);
        registers.rate_modulator.set(u32::from(modulator(baud)));
    }

    /// Has the receiver interrupt less often: with [`RECEIVE_TRIGGER`] bytes, or after a silence.
    pub fn enable_fifos(&mut self) {
        self.set_trigger(RECEIVE_TRIGGER as u32);
        self.registers.control2.modify(Control2::AGING_TIMER::SET);
    }

    /// Enables the interrupt for received bytes.
    pub fn enable_receive_interrupt(&mut self) {
        self.registers
            .control1
            .modify(Control1::RECEIVER_READY::SET);
    }

    /// Takes the next byte out of the receive FIFO, if there is one.
    ///
    /// Costs one read of the receiver, and one more when the FIFO is found empty or was full.
    /// Taking bytes until `None` also clears the interrupt.
    pub fn receive(&mut self) -> Option<Received> {
        let received = self.registers.receiver.extract();
        if !received.is_set(Receiver::READY) {
            if self.registers.status1.is_set(Status1::AGING_TIMER) {
                self.registers.status1.write(Status1::AGING_TIMER::SET);
            }
            return None;
        }
        let overrun = received.is_set(Receiver::LAST_PLACE)
            && self.registers.status2.is_set(Status2::OVERRUN);
        if overrun {
            self.registers.status2.write(Status2::OVERRUN::SET);
        }
        Some(Received {
            byte: received.read(Receiver::DATA) as u8,
            overrun,
            line_error: received.is_set(Receiver::PARITY)
                || received.is_set(Receiver::FRAMING)
                || received.is_set(Receiver::BREAK),
        })
    }

    /// Sends one byte, waiting for room in the transmitter.
    ///
    /// # Errors
    ///
    /// [`TransmitStuck`] if there was no room within the bound; the byte is not sent.
    pub fn transmit(&mut self, byte: u8) -> Result<(), TransmitStuck> {
        for _ in 0..TRANSMIT_POLLS {
            if !self.registers.test.is_set(Test::TRANSMITTER_FULL) {
                self.registers.transmitter.set(u32::from(byte));
                return Ok(());
            }
        }
        Err(TransmitStuck)
    }

    /// Sets the number of waiting bytes that interrupts, and the clock's divider to one.
    fn set_trigger(&mut self, bytes: u32) {
        self.registers.fifo_control.write(
            FifoControl::RECEIVE_TRIGGER.val(bytes)
                + FifoControl::CLOCK_DIVIDER::One
                + FifoControl::TRANSMIT_TRIGGER.val(2),
        );
    }
}

/// Sends text, and a carriage return before each line feed.
impl core::fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        drv_uart::write_text(text, |byte| self.transmit(byte))
    }
}

/// The modulator whose rate is nearest to `baud`, with an increment of 15: the clock over the rate,
/// less one.
const fn modulator(baud: u32) -> u16 {
    if baud == 0 {
        return 0;
    }
    // The sum cannot overflow: half of `baud` is below 2^31, and the clock is far below that.
    let nearest = (CLOCK_HZ + baud / 2) / baud;
    let modulator = nearest.saturating_sub(1);
    if modulator > 0xffff {
        0xffff
    } else {
        modulator as u16
    }
}

#[cfg(test)]
mod tests {
    use super::{Registers, TransmitStuck, Uart, modulator};
    use core::fmt::Write;
    use tock_registers::interfaces::Readable;

    /// A register block in plain memory: reads give back the last write.
    fn memory(words: &[(usize, u32)]) -> Uart {
        let memory: &'static mut [u32; 46] = Box::leak(Box::new([0; 46]));
        for &(offset, value) in words {
            memory[offset / 4] = value;
        }
        // SAFETY: 46 4-aligned words are exactly the 0xb8 bytes of the block, any bit pattern is
        // valid for it, and the leaked box is never freed and has no other reference.
        let registers = unsafe { &*core::ptr::from_mut(memory).cast::<Registers>() };
        Uart { registers }
    }

    const RECEIVER: usize = 0x00;
    const STATUS_1: usize = 0x94;
    const STATUS_2: usize = 0x98;
    const TEST: usize = 0xb4;

    #[test]
    fn modulators_are_the_nearest() {
        assert_eq!(modulator(115_200), 693);
        assert_eq!(modulator(9_600), 8_332);
        assert_eq!(modulator(1), 0xffff);
        assert_eq!(modulator(0), 0);
        assert_eq!(modulator(u32::MAX), 0);
    }

    #[test]
    fn configuring_keeps_what_waits_in_the_receiver() {
        let mut uart = memory(&[]);
        uart.configure(115_200);
        let registers = uart.registers;
        assert_eq!(registers.control1.get(), 0x0001);
        assert_eq!(registers.control2.get(), 0x4027);
        assert_eq!(registers.control3.get(), 0x0004);
        assert_eq!(registers.fifo_control.get(), 0x0a81);
        assert_eq!(registers.rate_increment.get(), 15);
        assert_eq!(registers.rate_modulator.get(), 693);
        uart.enable_fifos();
        assert_eq!(uart.registers.fifo_control.get(), 0x0a90);
        assert_eq!(uart.registers.control2.get(), 0x402f);
        uart.enable_receive_interrupt();
        assert_eq!(uart.registers.control1.get(), 0x0201);
    }

    #[test]
    fn receive_distinguishes_bytes_errors_and_no_byte() {
        assert_eq!(memory(&[]).receive(), None);
        let received = memory(&[(RECEIVER, 0x80ff)]).receive().unwrap();
        assert_eq!(received.byte, 0xff);
        assert!(!received.overrun && !received.line_error);
        // The last place of the FIFO alone is no loss.
        let received = memory(&[(RECEIVER, 0xe041)]).receive().unwrap();
        assert!(!received.overrun && !received.line_error);
        let mut uart = memory(&[(RECEIVER, 0xe041), (STATUS_2, 0xff)]);
        assert!(uart.receive().unwrap().overrun);
        assert_eq!(uart.registers.status2.get(), 0x02);
        for error in [0x0400, 0x0800, 0x1000] {
            let mut uart = memory(&[(RECEIVER, 0xc041 | error)]);
            assert!(uart.receive().unwrap().line_error, "{error:#x}");
        }
    }

    #[test]
    fn an_empty_receiver_ends_the_interrupt_for_silence() {
        let mut uart = memory(&[(STATUS_1, 0xffff)]);
        assert_eq!(uart.receive(), None);
        assert_eq!(uart.registers.status1.get(), 0x0100);
    }

    #[test]
    fn a_wait_for_a_stuck_transmitter_ends() {
        assert_eq!(memory(&[(TEST, 0x10)]).transmit(b'x'), Err(TransmitStuck));
        assert!(write!(memory(&[(TEST, 0x10)]), "text").is_err());
        assert!(writeln!(memory(&[]), "text").is_ok());
    }
}
