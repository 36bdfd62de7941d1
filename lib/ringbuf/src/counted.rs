//! Ring buffers that also count.

use crate::RecordEntry;
#[cfg(not(feature = "disabled"))]
use crate::{Ringbuf, StaticCell};
#[cfg(feature = "disabled")]
use core::marker::PhantomData;
use counters::Count;

/// A ring buffer and counters of everything that was ever recorded in it.
pub struct CountedRingbuf<T: Count + Copy, C, const N: usize> {
    /// The last entries.
    #[cfg(not(feature = "disabled"))]
    pub ringbuf: StaticCell<Ringbuf<T, C, N>>,
    /// Number of entries of each variant.
    pub counters: T::Counters,
    /// Uses the parameter `C` where there is no ring buffer that does. Absent otherwise, because
    /// debuggers read the members.
    #[cfg(feature = "disabled")]
    unused: PhantomData<fn(C)>,
}

impl<T: Count + Copy, C: Copy, const N: usize> CountedRingbuf<T, C, N> {
    /// An empty ring buffer with counters at zero; arguments as for the ring buffer alone.
    #[doc(hidden)]
    #[cfg_attr(feature = "disabled", allow(unused_variables))]
    pub const fn new(payload: T, count: C) -> Self {
        Self {
            #[cfg(not(feature = "disabled"))]
            ringbuf: StaticCell::new(Ringbuf::new(payload, count)),
            counters: T::NEW_COUNTERS,
            #[cfg(feature = "disabled")]
            unused: PhantomData,
        }
    }
}

impl<T: Count + Copy + PartialEq, const N: usize> RecordEntry<T> for CountedRingbuf<T, u16, N> {
    fn record_entry(&self, _line: u16, payload: &T) {
        payload.count(&self.counters);
        #[cfg(not(feature = "disabled"))]
        self.ringbuf.record_entry(_line, payload);
    }
}

impl<T: Count + Copy, const N: usize> RecordEntry<T> for CountedRingbuf<T, (), N> {
    fn record_entry(&self, _line: u16, payload: &T) {
        payload.count(&self.counters);
        #[cfg(not(feature = "disabled"))]
        self.ringbuf.record_entry(_line, payload);
    }
}
