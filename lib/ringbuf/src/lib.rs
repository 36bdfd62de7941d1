//! Ring buffers that trace a task's last events for a debugger.
//!
//! A task does not print. It declares a ring buffer of its own `Trace` enum and records an entry
//! for each event; Humility finds the static through DWARF, in a running system or in a dump, and
//! prints the entries with their names (`humility ringbuf`). Recording takes a handful of
//! instructions and no memory beyond the static.
//!
//! ```ignore
//! #[derive(Copy, Clone, PartialEq)]
//! enum Trace {
//!     None,
//!     Sent { length: usize },
//! }
//! ringbuf!(Trace, 16, Trace::None);
//!
//! ringbuf_entry!(Trace::Sent { length: 5 });
//! ```
//!
//! An entry that equals the last one, from the same line, only increments that entry's count, so
//! that a loop does not overwrite the events before it. With `no_dedup` as last argument each entry
//! is kept, and `PartialEq` is not needed. [`counted_ringbuf!`] also counts all entries ever
//! recorded, by variant.
//!
//! An entry recorded while another one is being recorded (for example by the `PartialEq` of the
//! entry type) is dropped.
//!
//! Names and signatures are those of Hubris' crate of this name. Humility finds the types and their
//! members by name.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "counters")]
mod counted;
mod macros;

#[cfg(feature = "counters")]
pub use counted::CountedRingbuf;
#[doc(hidden)]
#[cfg(feature = "counters")]
pub use counters::Count;
#[doc(hidden)]
pub use static_cell::StaticCell;

/// One entry.
#[derive(Copy, Clone, Debug)]
pub struct RingbufEntry<T: Copy, C> {
    /// Source line of the recording, modulo 2^16.
    pub line: u16,
    /// How often this slot has been written, modulo 2^16; 0 if never.
    pub generation: u16,
    /// What was recorded.
    pub payload: T,
    /// How many times in succession it was recorded (`u16`); `()` without deduplication.
    pub count: C,
}

/// The last `N` entries.
#[derive(Debug)]
pub struct Ringbuf<T: Copy, C, const N: usize> {
    /// Index of the slot written last; `None` if none was.
    pub last: Option<usize>,
    /// The slots, used in order, and from the start again after the last.
    pub buffer: [RingbufEntry<T, C>; N],
}

impl<T: Copy, C: Copy, const N: usize> Ringbuf<T, C, N> {
    /// An empty ring buffer. `payload` and `count` fill the slots until they are used.
    #[doc(hidden)]
    pub const fn new(payload: T, count: C) -> Self {
        const { assert!(N > 0, "a ring buffer needs at least one slot") };
        Self {
            last: None,
            buffer: [RingbufEntry {
                line: 0,
                generation: 0,
                payload,
                count,
            }; N],
        }
    }

    /// Writes the next slot.
    fn push(&mut self, line: u16, payload: T, count: C) {
        let slot = match self.last {
            // `i < N`, so the sum cannot overflow.
            Some(i) if i.wrapping_add(1) < N => i.wrapping_add(1),
            _ => 0,
        };
        if let Some(entry) = self.buffer.get_mut(slot) {
            *entry = RingbufEntry {
                line,
                generation: entry.generation.wrapping_add(1),
                payload,
                count,
            };
            self.last = Some(slot);
        }
    }
}

impl<T: Copy + PartialEq, const N: usize> Ringbuf<T, u16, N> {
    /// Raises the count of the last entry if it is the same, else writes the next slot.
    fn push_or_count(&mut self, line: u16, payload: T) {
        if let Some(entry) = self.last.and_then(|i| self.buffer.get_mut(i))
            && entry.line == line
            && entry.payload == payload
            && let Some(count) = entry.count.checked_add(1)
        {
            entry.count = count;
            return;
        }
        self.push(line, payload, 1);
    }
}

/// Statics that entries can be recorded in.
pub trait RecordEntry<T: Copy> {
    /// Records `payload`; `line` is the source line.
    fn record_entry(&self, line: u16, payload: &T);
}

impl<T: Copy + PartialEq, const N: usize> RecordEntry<T> for StaticCell<Ringbuf<T, u16, N>> {
    fn record_entry(&self, line: u16, payload: &T) {
        if let Some(mut ring) = self.try_borrow_mut() {
            ring.push_or_count(line, *payload);
        }
    }
}

impl<T: Copy, const N: usize> RecordEntry<T> for StaticCell<Ringbuf<T, (), N>> {
    fn record_entry(&self, line: u16, payload: &T) {
        if let Some(mut ring) = self.try_borrow_mut() {
            ring.push(line, *payload, ());
        }
    }
}

/// A ring buffer when ring buffers are disabled.
impl<T: Copy> RecordEntry<T> for () {
    #[inline(always)]
    fn record_entry(&self, _line: u16, _payload: &T) {}
}
