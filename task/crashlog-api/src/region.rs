//! What a task says about its memory at build time: regions for crashes, and secrets.
//!
//! Both macros work through sections of the task's program, which the build system reads when it
//! has linked the task. They cost no instruction, and a region not even a byte of the program. A
//! tree whose build system does not know the sections links tasks with them all the same: there no
//! region is registered, and a secret is like other data.

use core::sync::atomic::AtomicPtr;

/// Longest name of a region, in bytes.
pub const REGION_NAME_MAX: usize = 24;

/// One entry of section `.crash_regions`. The build system depends on this layout.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct CrashRegionDescriptor {
    // Atomic only because a plain pointer could not be in a static.
    start: AtomicPtr<()>,
    length: u32,
    name: [u8; REGION_NAME_MAX],
}

impl CrashRegionDescriptor {
    /// The entry of a static at `start`.
    ///
    /// # Panics
    ///
    /// If the name has not 1 to [`REGION_NAME_MAX`] bytes or they are not all printable ASCII
    /// without the space, or if the static is empty or of 4 GiB: errors when it is compiled.
    pub const fn new<T>(name: &str, start: *const T) -> Self {
        assert!(
            size_of::<T>() > 0 && size_of::<T>() as u64 <= u32::MAX as u64,
            "a region must have at least one byte"
        );
        let bytes = name.as_bytes();
        assert!(
            !bytes.is_empty() && bytes.len() <= REGION_NAME_MAX,
            "the name of a region must have 1 to 24 bytes"
        );
        let mut padded = [0; REGION_NAME_MAX];
        let mut at = 0;
        while at < bytes.len() {
            assert!(
                bytes[at].is_ascii_graphic(),
                "the name of a region must be of printable ASCII characters, without spaces"
            );
            padded[at] = bytes[at];
            at += 1;
        }
        Self {
            start: AtomicPtr::new(start.cast::<()>().cast_mut()),
            length: size_of::<T>() as u32,
            name: padded,
        }
    }
}

/// Registers a static to be saved with a crash, under a name that is unique in the task:
/// `crash_region!("fan-state", STATE);`.
///
/// The name has 1 to 24 printable ASCII characters, without spaces. The build checks it, and the
/// limits that `[tasks.jefe.config.crash.regions]` in `app.toml` gives each task. The debugger
/// finds the static's type by its address.
#[macro_export]
macro_rules! crash_region {
    ($name:expr, $variable:path) => {
        const _: () = {
            #[used]
            #[cfg_attr(target_os = "none", unsafe(link_section = ".crash_regions"))]
            static REGION: $crate::CrashRegionDescriptor =
                $crate::CrashRegionDescriptor::new($name, &raw const $variable);
        };
    };
}

/// Declares a static whose memory must never leave the machine: keys, credentials.
///
/// ```ignore
/// secret! {
///     /// The key of this session.
///     static KEY: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
/// }
/// ```
///
/// The kernel replaces each of its bytes by `*` in every crash, snapshot and dump. Copies that the
/// program makes, on its stack, in registers or in messages, are not known to it; and the initial
/// value is in the program, as of any static.
#[macro_export]
macro_rules! secret {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)+) => {
        $(
            $(#[$attribute])*
            #[cfg_attr(target_os = "none", unsafe(link_section = ".data.secret"))]
            $visibility static $name: $type = $value;
        )+
    };
}
