//! The image header, right after the vector table. The build system fills it in.

use crate::descs::HUBRIS_IMAGE_ID;
use abi::ImageHeader;

/// Describes the image. The build system patches it after the compiler is done, so code that reads
/// it must use `read_volatile`: the compiler would assume the zeros that are here.
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
#[must_use]
pub fn image_id() -> u64 {
    // SAFETY: a static is valid to read. Volatile, because the build system patches the value after
    // the compiler is done, and so that it is in the image once, where debuggers find it.
    unsafe { (&raw const HUBRIS_IMAGE_ID).read_volatile() }
}
