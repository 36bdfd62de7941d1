//! Upstream's names of `ringbuf`.
#![no_std]

#[cfg(feature = "counters")]
pub use ours::CountedRingbuf;
pub use ours::{
    counted_ringbuf, ringbuf, ringbuf_entry, ringbuf_entry_root, RecordEntry, Ringbuf, RingbufEntry,
};
