//! What the drivers of the chips' UARTs have in common.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

/// The transmitter did not accept a byte within the bound of polls.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct TransmitStuck;

/// One byte from the line, with its error flags.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// The byte as it was received, also if a flag is set.
    pub byte: u8,
    /// Bytes were lost around this one, because the FIFO was full when they arrived.
    pub overrun: bool,
    /// This byte had a parity or framing error, or is a break.
    pub line_error: bool,
}

/// Sends text by `transmit`, and a carriage return before each line feed.
///
/// # Errors
///
/// `transmit` has failed; the rest of the text is not sent.
pub fn write_text(
    text: &str,
    mut transmit: impl FnMut(u8) -> Result<(), TransmitStuck>,
) -> core::fmt::Result {
    for &byte in text.as_bytes() {
        if byte == b'\n' {
            transmit(b'\r').map_err(|_| core::fmt::Error)?;
        }
        transmit(byte).map_err(|_| core::fmt::Error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{TransmitStuck, write_text};

    #[test]
    fn a_carriage_return_goes_before_each_line_feed() {
        let mut sent = Vec::new();
        let written = write_text("a\n\nb", |byte| {
            sent.push(byte);
            Ok(())
        });
        assert!(written.is_ok());
        assert_eq!(sent, b"a\r\n\r\nb");
    }

    #[test]
    fn nothing_is_sent_behind_a_byte_that_is_stuck() {
        let mut sent = Vec::new();
        let written = write_text("a\nb", |byte| {
            if byte == b'\r' {
                return Err(TransmitStuck);
            }
            sent.push(byte);
            Ok(())
        });
        assert!(written.is_err());
        assert_eq!(sent, b"a");
    }
}
