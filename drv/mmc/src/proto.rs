//! Commands, status bits and register fields of cards, with the names of the specifications.
//!
//! "SD" is the SD Physical Layer Simplified Specification 6.00, "eMMC" is JESD84-B51.

use drv_sdhci::{Command, Response};

/// Card status, the content of R1 (SD 4.10.1, eMMC 6.13).
pub mod status {
    /// Address beyond the end of the card.
    pub const OUT_OF_RANGE: u32 = 1 << 31;
    /// Address is not a multiple of the block length.
    pub const ADDRESS_ERROR: u32 = 1 << 30;
    /// Block length does not match, or is not allowed.
    pub const BLOCK_LEN_ERROR: u32 = 1 << 29;
    /// Write to a protected block.
    pub const WP_VIOLATION: u32 = 1 << 26;
    /// The card is locked by a password.
    pub const CARD_IS_LOCKED: u32 = 1 << 25;
    /// The command before this one had a wrong CRC.
    pub const COM_CRC_ERROR: u32 = 1 << 23;
    /// The command before this one was illegal in the card's state.
    pub const ILLEGAL_COMMAND: u32 = 1 << 22;
    /// The card could not correct errors in its stored data.
    pub const CARD_ECC_FAILED: u32 = 1 << 21;
    /// The card's own controller failed.
    pub const CC_ERROR: u32 = 1 << 20;
    /// Any other error.
    pub const ERROR: u32 = 1 << 19;
    /// Shift of CURRENT_STATE.
    pub const CURRENT_STATE_SHIFT: u32 = 9;
    /// The card is ready to receive data.
    pub const READY_FOR_DATA: u32 = 1 << 8;
    /// The SWITCH command before this one failed (eMMC).
    pub const SWITCH_ERROR: u32 = 1 << 7;
    /// The card expects an application command next.
    pub const APP_CMD: u32 = 1 << 5;

    /// Errors that make a transfer impossible or its data invalid. COM_CRC_ERROR and
    /// ILLEGAL_COMMAND are not among them: they belong to an earlier command.
    pub const TRANSFER_ERRORS: u32 = OUT_OF_RANGE
        | ADDRESS_ERROR
        | BLOCK_LEN_ERROR
        | WP_VIOLATION
        | CARD_IS_LOCKED
        | CARD_ECC_FAILED
        | CC_ERROR
        | ERROR;

    /// The errors that a card may report when it has finished what `command` started. SWITCH_ERROR
    /// is of eMMC, and is set by SWITCH only (eMMC 6.6.1): a flush that failed is reported by it.
    #[must_use]
    pub const fn errors_of(command: u8) -> u32 {
        match command {
            6 => TRANSFER_ERRORS | SWITCH_ERROR,
            _ => TRANSFER_ERRORS,
        }
    }

    /// As [`TRANSFER_ERRORS`], for the CMD12 that ends a read. A card reads ahead, and sets
    /// OUT_OF_RANGE when that takes it past its last block, although every block of the request is
    /// on the card (SD 4.3.3).
    pub const READ_STOP_ERRORS: u32 = TRANSFER_ERRORS & !OUT_OF_RANGE;
}

/// Operating conditions register (SD 5.1, eMMC 7.1).
pub mod ocr {
    /// Power-up has finished.
    pub const READY: u32 = 1 << 31;
    /// SD: capacity above 2 GiB, addressed by sector (CCS).
    pub const CARD_CAPACITY: u32 = 1 << 30;
    /// eMMC: access mode, both bits.
    pub const ACCESS_MODE: u32 = 3 << 29;
    /// eMMC: access mode "sector".
    pub const ACCESS_MODE_SECTOR: u32 = 2 << 29;
    /// 2.7 V to 3.6 V.
    pub const VOLTAGE_3V: u32 = 0x00FF_8000;
    /// 1.70 V to 1.95 V (eMMC).
    pub const VOLTAGE_1V8: u32 = 0x0000_0080;
}

/// Bytes of the EXT_CSD register (eMMC 7.4).
pub mod ext_csd {
    /// Starts a flush of the cache.
    pub const FLUSH_CACHE: u8 = 32;
    /// Turns the cache on and off.
    pub const CACHE_CTRL: u8 = 33;
    /// Notification about the card's power; see [`super::power_off`].
    pub const POWER_OFF_NOTIFICATION: u8 = 34;
    /// Size of a sector: 0 is 512 bytes, 1 is 4 KiB.
    pub const DATA_SECTOR_SIZE: usize = 61;
    /// Enables high-priority interrupt.
    pub const HPI_MGMT: u8 = 161;
    /// Which partition is accessed, bits 2:0, 0 is the user area; and from which the card boots.
    pub const PARTITION_CONFIG: u8 = 179;
    /// Bus width.
    pub const BUS_WIDTH: u8 = 183;
    /// Timing of the bus.
    pub const HS_TIMING: u8 = 185;
    /// Revision of this register.
    pub const EXT_CSD_REV: usize = 192;
    /// Timings that the card supports.
    pub const DEVICE_TYPE: usize = 196;
    /// Number of sectors, 4 bytes.
    pub const SEC_COUNT: usize = 212;
    /// Longest time to enter and to leave sleep, 100 ns * 2^n; 0 is undefined, above 0x17 reserved.
    pub const S_A_TIMEOUT: usize = 217;
    /// Blocks in a reliable write.
    pub const REL_WR_SEC_C: usize = 222;
    /// Size of the cache, KiB, 4 bytes.
    pub const CACHE_SIZE: usize = 249;
    /// High-priority interrupt: whether it is supported, and by which command.
    pub const HPI_FEATURES: usize = 503;
}

/// Values of the byte POWER_OFF_NOTIFICATION (eMMC 7.4).
pub mod power_off {
    /// The host announces that it will send a notification before it cuts the power.
    pub const POWERED_ON: u8 = 1;
    /// The host is about to cut the power; the card gets ready within the time of any SWITCH.
    pub const POWER_OFF_SHORT: u8 = 2;
}

/// The RCA that the host assigns to an eMMC. It is a hash of the identification register, so that a
/// card that was exchanged for this one most likely does not answer to it. Not 0, which addresses
/// no card, and not 1, the value after power-on.
#[must_use]
pub const fn emmc_rca(cid: [u32; 4]) -> u16 {
    let [a, b, c, d] = cid;
    let word = a ^ b.rotate_left(8) ^ c ^ d;
    let rca = (word ^ word >> 16) as u16;
    if rca < 2 { rca | 2 } else { rca }
}

/// CMD23: the write is a reliable write (eMMC 6.6.9).
pub const RELIABLE_WRITE: u32 = 1 << 31;

const fn command(index: u8, argument: u32, response: Response) -> Command {
    Command {
        index,
        argument,
        response,
        refusal: 0,
    }
}

const fn addressed(index: u8, rca: u16, response: Response) -> Command {
    command(index, (rca as u32) << 16, response)
}

/// CMD0, GO_IDLE_STATE: every state but inactive to idle.
#[must_use]
pub const fn go_idle_state() -> Command {
    command(0, 0, Response::None)
}

/// CMD1, SEND_OP_COND (eMMC).
#[must_use]
pub const fn send_op_cond(argument: u32) -> Command {
    command(1, argument, Response::R3)
}

/// CMD2, ALL_SEND_CID: ready to ident.
#[must_use]
pub const fn all_send_cid() -> Command {
    command(2, 0, Response::R2)
}

/// CMD3, SEND_RELATIVE_ADDR (SD): the card chooses an address; ident to stby.
#[must_use]
pub const fn send_relative_addr() -> Command {
    command(3, 0, Response::R6)
}

/// CMD3, SET_RELATIVE_ADDR (eMMC): the host chooses one; ident to stby.
#[must_use]
pub const fn set_relative_addr(rca: u16) -> Command {
    addressed(3, rca, Response::R1)
}

/// CMD6, SWITCH (eMMC): writes one byte of EXT_CSD.
#[must_use]
pub const fn switch(index: u8, value: u8) -> Command {
    const WRITE_BYTE: u32 = 3 << 24;
    command(
        6,
        WRITE_BYTE | (index as u32) << 16 | (value as u32) << 8,
        Response::R1b,
    )
}

/// CMD6, SWITCH_FUNC (SD): switches function group 1 to high speed; 64 bytes of status follow.
#[must_use]
pub const fn switch_to_high_speed() -> Command {
    command(6, 0x80FF_FFF1, Response::R1)
}

/// CMD7, SELECT_CARD: stby to tran, dis to prg.
#[must_use]
pub const fn select_card(rca: u16) -> Command {
    addressed(7, rca, Response::R1)
}

/// CMD7 with RCA 0, which deselects every card: tran to stby, prg to dis. No card answers it.
#[must_use]
pub const fn deselect_cards() -> Command {
    command(7, 0, Response::None)
}

/// CMD5, SLEEP_AWAKE (eMMC 6.6): stby to slp, or slp to stby.
#[must_use]
pub const fn sleep_awake(rca: u16, sleep: bool) -> Command {
    let argument = (rca as u32) << 16 | (sleep as u32) << 15;
    command(5, argument, Response::R1b)
}

/// CMD8, SEND_IF_COND (SD): 2.7 V to 3.6 V, check pattern 0xAA.
#[must_use]
pub const fn send_if_cond() -> Command {
    command(8, 0x1AA, Response::R7)
}

/// CMD8, SEND_EXT_CSD (eMMC): 512 bytes follow.
#[must_use]
pub const fn send_ext_csd() -> Command {
    command(8, 0, Response::R1)
}

/// CMD9, SEND_CSD.
#[must_use]
pub const fn send_csd(rca: u16) -> Command {
    addressed(9, rca, Response::R2)
}

/// CMD12, STOP_TRANSMISSION, without waiting for busy: data to tran, rcv to prg.
#[must_use]
pub const fn stop_transmission() -> Command {
    command(12, 0, Response::R1)
}

/// CMD13, SEND_STATUS.
#[must_use]
pub const fn send_status(rca: u16) -> Command {
    addressed(13, rca, Response::R1)
}

/// High-priority interrupt (eMMC 6.6.23), by CMD12 or CMD13: prg to tran as soon as the card is
/// able.
#[must_use]
pub const fn high_priority_interrupt(rca: u16, by_cmd12: bool) -> Command {
    let index = if by_cmd12 { 12 } else { 13 };
    command(index, (rca as u32) << 16 | 1, Response::R1)
}

/// CMD16, SET_BLOCKLEN.
#[must_use]
pub const fn set_blocklen(bytes: u32) -> Command {
    command(16, bytes, Response::R1)
}

/// CMD17 and CMD18, READ_SINGLE_BLOCK and READ_MULTIPLE_BLOCK.
#[must_use]
pub const fn read_block(address: u32, multiple: bool) -> Command {
    let index = if multiple { 18 } else { 17 };
    Command {
        index,
        argument: address,
        response: Response::R1,
        refusal: status::TRANSFER_ERRORS,
    }
}

/// CMD23, SET_BLOCK_COUNT.
#[must_use]
pub const fn set_block_count(argument: u32) -> Command {
    command(23, argument, Response::R1)
}

/// CMD24 and CMD25, WRITE_BLOCK and WRITE_MULTIPLE_BLOCK.
#[must_use]
pub const fn write_block(address: u32, multiple: bool) -> Command {
    let index = if multiple { 25 } else { 24 };
    Command {
        index,
        argument: address,
        response: Response::R1,
        refusal: status::TRANSFER_ERRORS,
    }
}

/// CMD55, APP_CMD: the next command is an application command (SD).
#[must_use]
pub const fn app_cmd(rca: u16) -> Command {
    addressed(55, rca, Response::R1)
}

/// ACMD6, SET_BUS_WIDTH (SD): four lines.
#[must_use]
pub const fn set_bus_width_4() -> Command {
    command(6, 2, Response::R1)
}

/// ACMD41, SD_SEND_OP_COND (SD).
#[must_use]
pub const fn sd_send_op_cond(argument: u32) -> Command {
    command(41, argument, Response::R3)
}
