//! Ring buffers, counters, small libraries.

use core::sync::atomic::Ordering;
use counters::{count, counters, AtomicU32, Count};
use ringbuf::{
    counted_ringbuf, ringbuf, ringbuf_entry, ringbuf_entry_root, CountedRingbuf, RecordEntry,
    Ringbuf, RingbufEntry,
};
use static_cell::{ClaimOnceCell, StaticCell};

#[derive(Copy, Clone, PartialEq, Debug, counters::Count)]
enum Trace {
    #[count(skip)]
    None,
    Started,
    Read(usize),
    Ended {
        code: u32,
    },
    Result(#[count(children)] Result<(), Reason>),
}

#[derive(Copy, Clone, PartialEq, Debug, Count)]
enum Reason {
    Timeout,
    Overrun,
}

// A ring buffer without a name: one for each module.
counted_ringbuf!(Trace, 4, Trace::None);
counted_ringbuf!(KEPT_RINGBUF, Trace, 3, Trace::None, no_dedup);

// The number of slots may be a constant.
mod named_number {
    use super::*;
    const SLOTS: usize = 2;
    mod dedup {
        use super::*;
        ringbuf!(Trace, SLOTS, Trace::None);
        pub fn slots() -> usize {
            __RINGBUF.borrow_mut().buffer.len()
        }
    }
    mod no_dedup {
        use super::*;
        ringbuf!(Trace, SLOTS, Trace::None, no_dedup);
        ringbuf!(OTHER_RINGBUF, Option<Trace>, SLOTS, None, no_dedup);
        pub fn slots() -> usize {
            let other: &StaticCell<Ringbuf<Option<Trace>, (), 2>> = &OTHER_RINGBUF;
            __RINGBUF.borrow_mut().buffer.len() + other.borrow_mut().buffer.len()
        }
    }
    mod counted {
        use super::*;
        counted_ringbuf!(Trace, SLOTS, Trace::None, no_dedup);
        counted_ringbuf!(OTHER_RINGBUF, Trace, SLOTS, Trace::None);
        pub fn slots() -> usize {
            let other: &CountedRingbuf<Trace, u16, 2> = &OTHER_RINGBUF;
            __RINGBUF.ringbuf.borrow_mut().buffer.len() + other.ringbuf.borrow_mut().buffer.len()
        }
    }
    #[test]
    fn number_of_slots() {
        assert_eq!(
            (dedup::slots(), no_dedup::slots(), counted::slots()),
            (2, 4, 4)
        );
    }
}

mod plain {
    use super::*;
    ringbuf!(Trace, 4, Trace::None);
    ringbuf!(NAMED_RINGBUF, u8, 2, 0);
    ringbuf!(WORDS_RINGBUF, [u32; 2], 2, [0; 2], no_dedup);

    pub fn record() {
        ringbuf_entry!(Trace::Started);
        ringbuf_entry!(NAMED_RINGBUF, 7);
        ringbuf_entry!(WORDS_RINGBUF, [1, 2]);
        ringbuf_entry_root!(Trace::Read(1));
        ringbuf_entry_root!(KEPT_RINGBUF, Trace::Ended { code: 1 });
        let named: &StaticCell<Ringbuf<u8, u16, 2>> = &NAMED_RINGBUF;
        let entry: RingbufEntry<u8, u16> = named.borrow_mut().buffer[0];
        assert_eq!((entry.payload, entry.generation, entry.count), (7, 1, 1));
        assert_ne!(entry.line, 0);
        let words: &StaticCell<Ringbuf<[u32; 2], (), 2>> = &WORDS_RINGBUF;
        assert_eq!(words.borrow_mut().last, Some(0));
        assert_eq!(__RINGBUF.borrow_mut().last, Some(0));
    }
}

#[test]
fn ringbuf() {
    plain::record();
    for _ in 0..3 {
        ringbuf_entry!(Trace::Result(Err(Reason::Timeout)));
        ringbuf_entry!(KEPT_RINGBUF, Trace::Started);
    }
    let counted: &CountedRingbuf<Trace, u16, 4> = &__RINGBUF;
    let kept: &CountedRingbuf<Trace, (), 3> = &KEPT_RINGBUF;
    // One entry from the root macro, and one that was repeated three times.
    assert_eq!(counted.ringbuf.borrow_mut().last, Some(1));
    assert_eq!(counted.ringbuf.borrow_mut().buffer[1].count, 3);
    assert_eq!(kept.ringbuf.borrow_mut().last, Some(0));
    assert_eq!(kept.ringbuf.borrow_mut().buffer[0].generation, 2);
    let counts: &TraceCounts = &counted.counters;
    assert_eq!(counts.Result.Err.Timeout.load(Ordering::Relaxed), 3);
    assert_eq!(counts.Read.load(Ordering::Relaxed), 1);
    assert_eq!(kept.counters.Ended.load(Ordering::Relaxed), 1);
    fn any(to: &impl RecordEntry<Trace>) {
        to.record_entry(1, &Trace::Started);
    }
    any(counted);
    any(&());
}

counters!(Trace);
counters!(NAMED_COUNTERS, Reason,);

#[test]
fn counters() {
    count!(Trace::Read(1));
    count!(Trace::None,);
    count!(NAMED_COUNTERS, Reason::Overrun);
    let counts: &<Trace as Count>::Counters = &__COUNTERS;
    let read: &AtomicU32 = &counts.Read;
    assert_eq!(read.load(Ordering::Relaxed), 1);
    let read: &core::sync::atomic::AtomicU32 = &counts.Read;
    assert_eq!(read.fetch_add(1, Ordering::Relaxed), 1);
    assert_eq!(format!("{:?}", counts.Read), "2");
    assert_eq!(NAMED_COUNTERS.Overrun.load(Ordering::Relaxed), 1);
    fn is<T: Count<Counters = C>, C>(_: &T) -> C {
        T::NEW_COUNTERS
    }
    let _: AtomicU32 = is(&());
    let counts: counters::BoolCounts = is(&true);
    false.count(&counts);
    assert_eq!(counts.r#false.load(Ordering::Relaxed), 1);
    assert_eq!(counts.r#true.load(Ordering::Relaxed), 0);
    let result: Result<(), bool> = Err(true);
    let counts: counters::ResultCounters<AtomicU32, counters::BoolCounts> = is(&result);
    Count::count(&&result, &counts);
    assert_eq!(counts.Err.r#true.load(Ordering::Relaxed), 1);
    assert_eq!(counts.Ok.load(Ordering::Relaxed), 0);
    let counts: counters::OptionCounters<AtomicU32> = is(&Some(()));
    None::<()>.count(&counts);
    Count::count(&&Some(()), &counts);
    assert_eq!(counts.None.load(Ordering::Relaxed), 1);
    assert_eq!(counts.Some.load(Ordering::Relaxed), 1);
    let _: Option<()> = None::<core::convert::Infallible>.map(|never| is(&never));
}

#[test]
fn cells() {
    static CELL: StaticCell<u8> = StaticCell::new(1);
    {
        let mut first: static_cell::StaticRef<'_, u8> = CELL.borrow_mut();
        *first = 2;
        assert!(CELL.try_borrow_mut().is_none());
    }
    assert_eq!(CELL.try_borrow_mut().map(|cell| *cell), Some(2));
    static ONCE: ClaimOnceCell<[u8; 2]> = ClaimOnceCell::new([0; 2]);
    let claimed: &'static mut [u8; 2] = ONCE.claim();
    claimed[0] = 1;
}

#[test]
fn statics() {
    fn default() -> u16 {
        5
    }
    let (bytes, words): (&'static mut [u8; 4], &'static mut [u16; 2]) = mutable_statics::mutable_statics! {
        static mut BYTES: [u8; 4] = [|| 0xff; _];
        static mut WORDS: [u16; 2] = [default; _];
    };
    bytes[0] = 1;
    assert_eq!((bytes[0], bytes[1], words[1]), (1, 0xff, 5));
}

#[test]
fn fixedmap() {
    #[derive(Copy, Clone, PartialEq)]
    struct Key(u8);
    let mut map: fixedmap::FixedMap<Key, char, 2> = Default::default();
    let _: () = map.insert(Key(1), 'a');
    let _: () = map.remove(Key(2));
    assert_eq!(map.get(Key(1)), Some('a'));
}

#[test]
fn unwrap_lite_by_its_own_name() {
    use unwrap_lite::UnwrapLite;
    assert_eq!(Some(1).unwrap_lite(), 1);
}
