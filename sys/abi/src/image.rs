//! Headers found in the flash image.

/// First word of [`ImageHeader`].
pub const HEADER_MAGIC: u32 = 0x64ce_d6ca;

/// First word of the caboose.
pub const CABOOSE_MAGIC: u32 = 0xcab0_005e;

/// Describes the whole image. The build system fills it in, in the kernel's `.header` section.
#[derive(Copy, Clone, Debug, Default)]
#[repr(C)]
pub struct ImageHeader {
    /// [`HEADER_MAGIC`].
    pub magic: u32,
    /// Bytes from the start of flash to the highest end of any section in it.
    pub total_image_len: u32,
    /// Zero.
    pub _pad: [u32; 16],
    /// `version` of the app.
    pub version: u32,
    /// `epoch` of the app.
    pub epoch: u32,
}

/// Start of a vector table on processors that have one in this form.
#[derive(Copy, Clone, Debug, Default)]
#[repr(C)]
pub struct ImageVectors {
    /// Initial stack pointer.
    pub sp: u32,
    /// Entry point.
    pub entry: u32,
}
