//! The macros compile and record with every combination of features.

use ringbuf::{counted_ringbuf, ringbuf, ringbuf_entry, ringbuf_entry_root};

#[derive(Copy, Clone, Debug, PartialEq, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Number(u32),
}

ringbuf!(Trace, 4, Trace::None);
ringbuf!(KEPT_RINGBUF, Trace, 4, Trace::None, no_dedup);
counted_ringbuf!(COUNTED_RINGBUF, Trace, 4, Trace::None);
counted_ringbuf!(BOTH_RINGBUF, Trace, 4, Trace::None, no_dedup);

mod inner {
    use super::*;
    counted_ringbuf!(Trace, 4, Trace::None);

    pub fn record() {
        ringbuf_entry!(Trace::Number(1));
        ringbuf_entry_root!(Trace::Number(2));
        ringbuf_entry_root!(BOTH_RINGBUF, Trace::Number(3));
    }
}

#[test]
fn recording_is_written_the_same_way() {
    inner::record();
    ringbuf_entry!(Trace::Number(4));
    ringbuf_entry!(KEPT_RINGBUF, Trace::Number(5));
    ringbuf_entry!(COUNTED_RINGBUF, Trace::Number(6));
    #[cfg(not(feature = "disabled"))]
    assert_eq!(__RINGBUF.borrow_mut().last, Some(1));
    #[cfg(feature = "disabled")]
    let (): () = __RINGBUF;
    #[cfg(all(feature = "counters", not(feature = "counters-disabled")))]
    {
        use core::sync::atomic::Ordering;
        let counts = &COUNTED_RINGBUF.counters;
        assert_eq!(counts.Number.load(Ordering::Relaxed), 1);
    }
}
