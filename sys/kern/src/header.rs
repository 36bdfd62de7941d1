//! The image header, right after the vector table. The build system fills it in.

use crate::descs::HUBRIS_IMAGE_ID;
use abi::ImageHeader;

/// Describes the image. Zero until the build system has patched it, so it is never read through this name without
/// `read_volatile`.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".header")]
#[used]
pub static HEADER: ImageHeader = ImageHeader {
    magic: 0,
    total_image_len: 0,
    _pad: [0; 16],
    version: 0,
    epoch: 0,
};

/// Identity of the image, [`HUBRIS_IMAGE_ID`].
pub(crate) fn image_id() -> u64 {
    // SAFETY: a reference is valid to read. Volatile, so that the symbol stays the one place the value is in.
    unsafe { (&raw const HUBRIS_IMAGE_ID).read_volatile() }
}
