//! What tells images apart.

use std::fmt;

/// The id of an image: the 8 bytes of its kernel's `HUBRIS_IMAGE_ID`, as a number.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId(u64);

impl ImageId {
    /// The id; `None` for 0, which means that the image is not known.
    pub fn known(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

/// Its bytes in the order of the image, as Humility shows them.
impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.swap_bytes())
    }
}
