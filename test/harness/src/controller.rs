//! The states of controller and card in which crashes are tested, and what a driver does to get
//! there.

use crate::gdb::Debugger;
use anyhow::Result;

/// A slot of the SoC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Address of its registers.
    pub registers: u32,
    /// Its number in QEMU: its drive is `if=sd,index=N`, its card `sdN`.
    pub index: u32,
}

/// The slot of the eMMC.
pub const EMMC: Slot = Slot {
    registers: 0x1e75_0100,
    index: 2,
};

/// The first of the two slots for SD cards.
pub const SD: Slot = Slot {
    registers: 0x1e74_0100,
    index: 0,
};

/// The slot of the i.MX 6UltraLite's uSDHC1.
pub const SD_OF_IMX6UL: Slot = Slot {
    registers: 0x0219_0000,
    index: 0,
};

/// A block that nothing uses: behind the partition table, before the recorder's partition. In
/// bytes, because cards of up to 2 GiB are addressed by byte.
pub const SPARE_BLOCK: u32 = 1_000 * 512;

/// One access to the controller, or one command through it.
#[derive(Clone, Copy)]
pub enum Action {
    /// Writes a register: offset, bytes, value.
    Set(u32, usize, u32),
    /// Sends a command without data: index, argument, response (low byte of the command register).
    Command(u32, u32, u32),
    /// Sends a command that reads by PIO: index, argument, blocks.
    Read(u32, u32, u32),
    /// Sends a command that writes by PIO: index, argument, blocks.
    Write(u32, u32, u32),
    /// Reads that many words from the buffer port.
    Take(u32),
    /// Writes that many words to the buffer port.
    Put(u32),
}

use Action::{Command, Put, Read, Set, Take, Write};

/// Response R1, as in the low byte of the command register (SD Host Controller Simplified
/// Specification 3.00, section 2.2.6).
pub const R1: u32 = 0x1a;
/// Response R2, of CMD2 and CMD9.
pub const R2: u32 = 0x09;
/// Response R3, of CMD1 and ACMD41.
pub const R3: u32 = 0x02;
/// No response.
pub const NONE: u32 = 0;

/// The argument of CMD1: 1.7 to 3.6 V, sector addresses if the card has them.
const OCR: u32 = 0x40ff_8080;

/// The states: name, description, and what leads there from the idle state.
pub const STATES: &[(&str, &str, &[Action])] = &[
    ("clock-off", "clock off", &[Set(0x2c, 2, 0)]),
    (
        "power-off",
        "clock and bus power off",
        &[Set(0x2c, 2, 0), Set(0x29, 1, 0)],
    ),
    ("card-idle", "card in idle state", &[Command(0, 0, NONE)]),
    (
        "card-ready",
        "card in ready state, in the middle of identification",
        &[Command(0, 0, NONE), Command(1, OCR, R3)],
    ),
    (
        "card-ident",
        "card in identification state",
        &[Command(0, 0, NONE), Command(1, OCR, R3), Command(2, 0, R2)],
    ),
    (
        "card-standby",
        "card in stand-by state, with an unknown address",
        &[
            Command(0, 0, NONE),
            Command(1, OCR, R3),
            Command(2, 0, R2),
            Command(3, 77 << 16, R1),
        ],
    ),
    ("card-deselected", "card deselected", &[Command(7, 0, NONE)]),
    (
        "read-begin",
        "reading one block, at its start",
        &[Read(17, SPARE_BLOCK, 1)],
    ),
    (
        "read-middle",
        "reading one block, in its middle",
        &[Read(17, SPARE_BLOCK, 1), Take(64)],
    ),
    (
        "read-end",
        "reading one block, before its last word",
        &[Read(17, SPARE_BLOCK, 1), Take(127)],
    ),
    (
        "read-many-begin",
        "reading eight blocks, at their start",
        &[Read(18, SPARE_BLOCK, 8)],
    ),
    (
        "read-many-middle",
        "reading eight blocks, in the middle of the fourth",
        &[Read(18, SPARE_BLOCK, 8), Take(3 * 128 + 50)],
    ),
    (
        "read-many-end",
        "reading eight blocks, before the last word",
        &[Read(18, SPARE_BLOCK, 8), Take(8 * 128 - 1)],
    ),
    (
        "read-done",
        "all eight blocks read, without CMD12",
        &[Read(18, SPARE_BLOCK, 8), Take(8 * 128)],
    ),
    (
        "write-begin",
        "writing one block, at its start",
        &[Write(24, SPARE_BLOCK, 1)],
    ),
    (
        "write-middle",
        "writing one block, in its middle",
        &[Write(24, SPARE_BLOCK, 1), Put(64)],
    ),
    (
        "write-end",
        "writing one block, before its last word",
        &[Write(24, SPARE_BLOCK, 1), Put(127)],
    ),
    (
        "write-many-begin",
        "writing eight blocks, at their start",
        &[Write(25, SPARE_BLOCK, 8)],
    ),
    (
        "write-many-middle",
        "writing eight blocks, in the middle of the fourth",
        &[Write(25, SPARE_BLOCK, 8), Put(3 * 128 + 50)],
    ),
    (
        "write-many-end",
        "writing eight blocks, before the last word",
        &[Write(25, SPARE_BLOCK, 8), Put(8 * 128 - 1)],
    ),
    (
        "write-done",
        "all eight blocks written, without CMD12",
        &[Write(25, SPARE_BLOCK, 8), Put(8 * 128)],
    ),
    (
        "erase-begin",
        "the start of an erase is set (CMD35)",
        &[Command(35, SPARE_BLOCK, R1)],
    ),
    (
        "erase-end",
        "start and end of an erase are set (CMD35, CMD36)",
        &[Command(35, SPARE_BLOCK, R1), Command(36, SPARE_BLOCK, R1)],
    ),
    (
        "erased",
        "an erase has just started (CMD38)",
        &[
            Command(35, SPARE_BLOCK, R1),
            Command(36, SPARE_BLOCK, R1),
            Command(38, 0, R1 | 1),
        ],
    ),
    (
        "block-length",
        "the card's block length is one byte (CMD16)",
        &[Command(16, 1, R1)],
    ),
    (
        "dead-dma",
        "reading eight blocks by ADMA2, with descriptors where there is no memory",
        &[
            Set(0x28, 1, 0x10),
            Set(0x58, 4, 0x4800_0000),
            Set(0x04, 4, 8 << 16 | 512),
            Set(0x08, 4, SPARE_BLOCK),
            Set(0x0c, 4, (18 << 8 | R1 | 0x20) << 16 | 0x33),
        ],
    ),
    (
        "status-set",
        "every error interrupt status is set",
        &[Set(0x34, 4, u32::MAX), Set(0x52, 2, 0x03ff)],
    ),
    (
        "command-illegal",
        "the last command was illegal",
        &[Command(60, 0, R1)],
    ),
];

/// Brings controller and card from the idle state into another one. The debugger must use physical
/// addresses.
pub fn bring(debugger: &mut Debugger, slot: Slot, steps: &[Action]) -> Result<()> {
    steps
        .iter()
        .try_for_each(|step| step.carry_out(debugger, slot.registers))
}

impl Action {
    fn carry_out(self, debugger: &mut Debugger, slot: u32) -> Result<()> {
        /// Transfer mode: from the card.
        const READING: u32 = 0x10;
        // A command with data, and its transfer mode; more than one block sets multiple and block
        // count.
        let data = |debugger: &mut Debugger, index: u32, argument: u32, blocks: u32, mode: u32| {
            let multiple = if blocks > 1 { 0x22 } else { 0 };
            debugger.set_word(slot + 0x04, blocks << 16 | 512)?;
            debugger.set_word(slot + 0x08, argument)?;
            debugger.set_word(
                slot + 0x0c,
                (index << 8 | R1 | 0x20) << 16 | mode | multiple,
            )
        };
        match self {
            Set(register, bytes, value) => debugger.set_memory(
                slot + register,
                value.to_le_bytes().get(..bytes).unwrap_or(&[]),
            ),
            Command(index, argument, response) => {
                debugger.set_word(slot + 0x08, argument)?;
                debugger.set_word(slot + 0x0c, (index << 8 | response) << 16)
            }
            Read(index, argument, blocks) => data(debugger, index, argument, blocks, READING),
            Write(index, argument, blocks) => data(debugger, index, argument, blocks, 0),
            Take(words) => (0..words).try_for_each(|_| debugger.word(slot + 0x20).map(drop)),
            Put(words) => {
                (0..words).try_for_each(|word| debugger.set_word(slot + 0x20, 0xa5a5_0000 | word))
            }
        }
    }
}
