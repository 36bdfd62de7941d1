//! The dump area: the image of a snapshot on its way to the card.
//!
//! The supervisor makes an image of the system's memory after the crash itself is durable, and of
//! one task's memory when that task has an oops; a kernel that has failed makes one before the
//! reset. The recorder copies the image to the card as it is, in the emergency, later in the same
//! boot, or in the next. `crashlog_format::snapshot` says what is in an image.
//!
//! One image fits. It is complete when its header is in place, which is stored last: an image that
//! was not finished does not count.

mod area;
mod content;
mod source;
mod writer;

pub use area::SnapshotArea;
pub use source::{
    ExtentRows, MemoryRange, RegisteredRegion, SavedMemory, SavedRows, SnapshotPiece,
    SnapshotSource,
};
pub use writer::SnapshotFacts;
