//! The encoding of results of functions.

use crate::{Failure, Fault};

/// An element of the return stack. Variant order is the encoding.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum FunctionResult<'a> {
    /// A function returned these bytes.
    Success(&'a [u8]),
    /// A function returned this error.
    Failure(u32),
    /// The end.
    Done,
}

impl<'a> FunctionResult<'a> {
    /// Encodes it to the start of `out`; returns its length.
    ///
    /// # Errors
    ///
    /// If `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Failure> {
        let mut head = [0; 6];
        let (head_len, body): (usize, &[u8]) = match *self {
            Self::Success(bytes) => {
                let mut length = bytes.len();
                let mut at = 1;
                loop {
                    let more = length >> 7 != 0;
                    if let Some(place) = head.get_mut(at) {
                        *place = length as u8 & 0x7f | u8::from(more) << 7;
                    }
                    at += 1;
                    length >>= 7;
                    if !more || at == head.len() {
                        break (at, bytes);
                    }
                }
            }
            Self::Failure(code) => {
                let [a, b, c, d] = code.to_le_bytes();
                head = [1, a, b, c, d, 0];
                (5, &[])
            }
            Self::Done => {
                head = [2, 0, 0, 0, 0, 0];
                (1, &[])
            }
        };
        let full = Failure::Fault(Fault::ReturnStackOverflow);
        let (to, rest) = out.split_at_mut_checked(head_len).ok_or(full)?;
        to.copy_from_slice(head.get(..head_len).unwrap_or(&[]));
        rest.get_mut(..body.len())
            .ok_or(full)?
            .copy_from_slice(body);
        Ok(head_len.saturating_add(body.len()))
    }

    /// Decodes the result at the start of `bytes`; returns it and its length. `None` if there is
    /// none.
    pub fn decode(bytes: &'a [u8]) -> Option<(Self, usize)> {
        match bytes.split_first()? {
            (0, rest) => {
                let mut length = 0_usize;
                let mut at = 0;
                loop {
                    let byte = *rest.get(at)?;
                    length |= usize::from(byte & 0x7f) << (7 * at);
                    at += 1;
                    if byte & 0x80 == 0 {
                        break;
                    }
                    if at == 4 {
                        return None;
                    }
                }
                let end = at.checked_add(length)?;
                Some((Self::Success(rest.get(at..end)?), end.checked_add(1)?))
            }
            (1, rest) => Some((Self::Failure(u32::from_le_bytes(*rest.first_chunk()?)), 5)),
            (2, _) => Some((Self::Done, 1)),
            _ => None,
        }
    }
}
