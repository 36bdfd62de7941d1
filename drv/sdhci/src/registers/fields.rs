//! The fields of the registers.
// The macro generates items that cannot be given documentation.
#![allow(missing_docs)]

use tock_registers::register_bitfields;

register_bitfields! { u32,
    /// Fields of [`super::BLOCKS`].
    pub Blocks [
        /// Bytes in a block.
        SIZE OFFSET(0) NUMBITS(12) [],
        /// Blocks that remain to be transferred.
        COUNT OFFSET(16) NUMBITS(16) [],
    ],
    /// Fields of [`super::COMMAND`].
    pub TransferMode [
        /// Data moves by DMA.
        DMA_ENABLE OFFSET(0) NUMBITS(1) [],
        /// The block count is valid.
        BLOCK_COUNT_ENABLE OFFSET(1) NUMBITS(1) [],
        /// Command that the controller sends by itself.
        AUTO_COMMAND OFFSET(2) NUMBITS(2) [
            /// CMD12 after the data.
            Cmd12 = 1,
            /// CMD23 before the command.
            Cmd23 = 2,
        ],
        /// Data moves from card to host.
        READ OFFSET(4) NUMBITS(1) [],
        /// More than one block.
        MULTIPLE OFFSET(5) NUMBITS(1) [],
        /// Length of the response.
        RESPONSE OFFSET(16) NUMBITS(2) [
            /// There is none.
            None = 0,
            /// 136 bits.
            Long = 1,
            /// 48 bits.
            Short = 2,
            /// 48 bits, then busy on DAT0.
            ShortBusy = 3,
        ],
        /// Check the CRC of the response.
        CRC_CHECK OFFSET(19) NUMBITS(1) [],
        /// Check the command index in the response.
        INDEX_CHECK OFFSET(20) NUMBITS(1) [],
        /// A data phase follows.
        DATA_PRESENT OFFSET(21) NUMBITS(1) [],
        /// Type of the command.
        TYPE OFFSET(22) NUMBITS(2) [
            /// Any other command.
            Normal = 0,
            /// It ends a transfer, and may be sent during one.
            Abort = 3,
        ],
        /// Command number.
        INDEX OFFSET(24) NUMBITS(6) [],
    ],
    /// Fields of [`super::PRESENT_STATE`].
    pub PresentState [
        /// The command circuit is busy.
        COMMAND_INHIBIT OFFSET(0) NUMBITS(1) [],
        /// The data circuit is busy, or the card signals busy on DAT0.
        DATA_INHIBIT OFFSET(1) NUMBITS(1) [],
        /// A data line is in use.
        DATA_LINE_ACTIVE OFFSET(2) NUMBITS(1) [],
        /// A write transfer is going on.
        WRITE_ACTIVE OFFSET(8) NUMBITS(1) [],
        /// A read transfer is going on.
        READ_ACTIVE OFFSET(9) NUMBITS(1) [],
        /// A block can be written to the buffer port.
        BUFFER_WRITE_ENABLE OFFSET(10) NUMBITS(1) [],
        /// A block can be read from the buffer port.
        BUFFER_READ_ENABLE OFFSET(11) NUMBITS(1) [],
        /// A card is in the slot.
        CARD_INSERTED OFFSET(16) NUMBITS(1) [],
        /// The card detect signal is stable.
        CARD_STATE_STABLE OFFSET(17) NUMBITS(1) [],
        /// The write-protect switch allows writing.
        WRITE_ENABLED OFFSET(19) NUMBITS(1) [],
        /// Level of DAT3 to DAT0.
        DATA_LEVEL OFFSET(20) NUMBITS(4) [],
    ],
    /// Fields of [`super::HOST_CONTROL`].
    pub HostControl [
        /// Four data lines.
        FOUR_LINES OFFSET(1) NUMBITS(1) [],
        /// High-speed timing.
        HIGH_SPEED OFFSET(2) NUMBITS(1) [],
        /// Kind of DMA.
        DMA_SELECT OFFSET(3) NUMBITS(2) [
            /// ADMA2 with 32-bit addresses.
            Adma2 = 2,
        ],
        /// Eight data lines.
        EIGHT_LINES OFFSET(5) NUMBITS(1) [],
        /// Power for the card.
        BUS_POWER OFFSET(8) NUMBITS(1) [],
        /// Which voltage.
        BUS_VOLTAGE OFFSET(9) NUMBITS(3) [
            /// 1.8 V.
            V18 = 5,
            /// 3.0 V.
            V30 = 6,
            /// 3.3 V.
            V33 = 7,
        ],
    ],
    /// Fields of [`super::CLOCK_CONTROL`].
    pub ClockControl [
        /// The controller's own clock runs.
        INTERNAL_CLOCK_ENABLE OFFSET(0) NUMBITS(1) [],
        /// The controller's own clock is stable.
        INTERNAL_CLOCK_STABLE OFFSET(1) NUMBITS(1) [],
        /// The card is clocked.
        SD_CLOCK_ENABLE OFFSET(2) NUMBITS(1) [],
        /// Bits 9:8 of the divisor field.
        UPPER_DIVISOR OFFSET(6) NUMBITS(2) [],
        /// Bits 7:0 of the divisor field.
        DIVISOR OFFSET(8) NUMBITS(8) [],
        /// Time-out of the data lines: 2^(13 + n) cycles of the time-out clock.
        DATA_TIMEOUT OFFSET(16) NUMBITS(4) [],
        /// Resets all but card detection; reads 1 until the reset is done.
        RESET_ALL OFFSET(24) NUMBITS(1) [],
        /// Resets the command circuit.
        RESET_COMMAND OFFSET(25) NUMBITS(1) [],
        /// Resets the data circuit.
        RESET_DATA OFFSET(26) NUMBITS(1) [],
    ],
    /// Fields of [`super::INTERRUPT_STATUS`] and of the two registers that enable its bits.
    pub Interrupt [
        /// The response has arrived.
        COMMAND_COMPLETE OFFSET(0) NUMBITS(1) [],
        /// The data have been moved, or busy has ended.
        TRANSFER_COMPLETE OFFSET(1) NUMBITS(1) [],
        /// A DMA boundary or a descriptor that asks for it was reached.
        DMA OFFSET(3) NUMBITS(1) [],
        /// A block can be written to the buffer port.
        BUFFER_WRITE_READY OFFSET(4) NUMBITS(1) [],
        /// A block can be read from the buffer port.
        BUFFER_READ_READY OFFSET(5) NUMBITS(1) [],
        /// A card was put in.
        CARD_INSERTION OFFSET(6) NUMBITS(1) [],
        /// The card was taken out.
        CARD_REMOVAL OFFSET(7) NUMBITS(1) [],
        /// One of the error bits is set.
        ERROR OFFSET(15) NUMBITS(1) [],
        /// No response within 64 clocks.
        COMMAND_TIMEOUT OFFSET(16) NUMBITS(1) [],
        /// The response has a wrong CRC, or the command line was driven by another device.
        COMMAND_CRC OFFSET(17) NUMBITS(1) [],
        /// The response has a wrong end bit.
        COMMAND_END_BIT OFFSET(18) NUMBITS(1) [],
        /// The response is to another command.
        COMMAND_INDEX OFFSET(19) NUMBITS(1) [],
        /// The data lines were quiet, or busy, for too long.
        DATA_TIMEOUT OFFSET(20) NUMBITS(1) [],
        /// Data from the card have a wrong CRC, or the card reports one in data to it.
        DATA_CRC OFFSET(21) NUMBITS(1) [],
        /// Data have a wrong end bit.
        DATA_END_BIT OFFSET(22) NUMBITS(1) [],
        /// The power supply is overloaded.
        CURRENT_LIMIT OFFSET(23) NUMBITS(1) [],
        /// Auto CMD12 or CMD23 failed.
        AUTO_COMMAND OFFSET(24) NUMBITS(1) [],
        /// ADMA could not read a descriptor, or the descriptor is invalid.
        ADMA OFFSET(25) NUMBITS(1) [],
    ],
    /// Fields of [`super::CAPABILITIES`].
    pub Capabilities [
        /// Base clock for the card, MHz; 0 if the system has to tell it. Six bits before version
        /// 3.00.
        BASE_CLOCK OFFSET(8) NUMBITS(8) [],
        /// Eight data lines.
        EIGHT_LINES OFFSET(18) NUMBITS(1) [],
        /// ADMA2.
        ADMA2 OFFSET(19) NUMBITS(1) [],
        /// High-speed timing.
        HIGH_SPEED OFFSET(21) NUMBITS(1) [],
        /// 3.3 V.
        V33 OFFSET(24) NUMBITS(1) [],
        /// 3.0 V.
        V30 OFFSET(25) NUMBITS(1) [],
        /// 1.8 V.
        V18 OFFSET(26) NUMBITS(1) [],
    ],
    /// Fields of [`super::CAPABILITIES_2`].
    pub Capabilities2 [
        /// Dual data rate.
        DDR50 OFFSET(2) NUMBITS(1) [],
    ],
    /// Fields of [`super::HOST_CONTROL_2`].
    pub HostControl2 [
        /// Mode of a bus of version 3.00.
        UHS_MODE OFFSET(16) NUMBITS(3) [
            /// Dual data rate.
            Ddr50 = 4,
        ],
    ],
    /// Fields of [`super::VERSION`].
    pub Version [
        /// Version of the specification: 0 is 1.00, 1 is 2.00, 2 is 3.00.
        SPECIFICATION OFFSET(16) NUMBITS(8) [],
    ],
}
