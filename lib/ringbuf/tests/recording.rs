//! Content of the buffer after recording.

#![cfg(not(feature = "disabled"))]

use ringbuf::{RecordEntry, Ringbuf, StaticCell, ringbuf, ringbuf_entry, ringbuf_entry_root};

#[derive(Copy, Clone, Debug, PartialEq)]
enum Trace {
    None,
    Number(u32),
}

type Cell<C, const N: usize> = StaticCell<Ringbuf<Trace, C, N>>;

/// Line, generation, payload, count.
type Slot = (u16, u16, Trace, u16);

/// The last slot used, and every slot.
fn slots<const N: usize>(cell: &Cell<u16, N>) -> (Option<usize>, Vec<Slot>) {
    let ring = cell.borrow_mut();
    (
        ring.last,
        ring.buffer
            .iter()
            .map(|e| (e.line, e.generation, e.payload, e.count))
            .collect(),
    )
}

#[test]
fn empty_until_used() {
    ringbuf!(EMPTY_RINGBUF, Trace, 2, Trace::None);
    assert_eq!(
        slots(&EMPTY_RINGBUF),
        (None, vec![(0, 0, Trace::None, 0); 2])
    );
}

#[test]
fn slots_are_used_in_order_and_again() {
    let cell: Cell<u16, 2> = StaticCell::new(Ringbuf::new(Trace::None, 0));
    for i in 1..=3 {
        cell.record_entry(7, &Trace::Number(i));
    }
    let expected = vec![(7, 2, Trace::Number(3), 1), (7, 1, Trace::Number(2), 1)];
    assert_eq!(slots(&cell), (Some(0), expected));
}

#[test]
fn equal_entries_of_one_line_are_counted() {
    let cell: Cell<u16, 4> = StaticCell::new(Ringbuf::new(Trace::None, 0));
    for _ in 0..3 {
        cell.record_entry(7, &Trace::Number(1));
    }
    cell.record_entry(8, &Trace::Number(1));
    cell.record_entry(8, &Trace::Number(2));
    let (last, slots) = slots(&cell);
    assert_eq!(last, Some(2));
    assert_eq!(
        slots[..3],
        [
            (7, 1, Trace::Number(1), 3),
            (8, 1, Trace::Number(1), 1),
            (8, 1, Trace::Number(2), 1)
        ]
    );
}

#[test]
fn full_count_takes_a_new_slot() {
    let cell: Cell<u16, 2> = StaticCell::new(Ringbuf::new(Trace::None, 0));
    for _ in 0..=u32::from(u16::MAX) {
        cell.record_entry(7, &Trace::Number(1));
    }
    let expected = vec![
        (7, 1, Trace::Number(1), u16::MAX),
        (7, 1, Trace::Number(1), 1),
    ];
    assert_eq!(slots(&cell), (Some(1), expected));
}

#[test]
fn generation_wraps() {
    let cell: Cell<u16, 1> = StaticCell::new(Ringbuf::new(Trace::None, 0));
    for i in 0..=u32::from(u16::MAX) {
        cell.record_entry(7, &Trace::Number(i));
    }
    assert_eq!(slots(&cell).1, [(7, 0, Trace::Number(65535), 1)]);
}

#[test]
fn without_deduplication_each_entry_is_kept() {
    ringbuf!(APART_RINGBUF, Trace, 3, Trace::None, no_dedup);
    for _ in 0..2 {
        ringbuf_entry!(APART_RINGBUF, Trace::Number(1));
    }
    let ring = APART_RINGBUF.borrow_mut();
    assert_eq!(ring.last, Some(1));
    assert_eq!(ring.buffer.map(|e| e.generation), [1, 1, 0]);
    let _: () = ring.buffer[0].count;
}

#[test]
fn entry_during_a_borrow_is_dropped() {
    let cell: Cell<u16, 2> = StaticCell::new(Ringbuf::new(Trace::None, 0));
    let guard = cell.borrow_mut();
    cell.record_entry(7, &Trace::Number(1));
    drop(guard);
    assert_eq!(slots(&cell).0, None);
}

ringbuf!(Trace, 4, Trace::None);

mod inner {
    pub fn record() {
        ringbuf::ringbuf_entry_root!(super::Trace::Number(2));
    }
}

#[test]
fn macros_use_the_default_buffer_and_record_the_line() {
    ringbuf_entry!(Trace::Number(1));
    let here = line!() as u16;
    inner::record();
    ringbuf_entry_root!(__RINGBUF, Trace::Number(3));
    let (last, slots) = slots(&__RINGBUF);
    assert_eq!(last, Some(2));
    assert_eq!(slots[0], (here - 1, 1, Trace::Number(1), 1));
    assert_eq!(
        (slots[1].2, slots[2].2),
        (Trace::Number(2), Trace::Number(3))
    );
}

#[cfg(all(feature = "counters", not(feature = "counters-disabled")))]
mod counted {
    use core::sync::atomic::Ordering;
    use counters::Count;
    use ringbuf::{counted_ringbuf, ringbuf_entry};

    #[derive(Copy, Clone, PartialEq, Count)]
    #[allow(dead_code)]
    enum Event {
        #[count(skip)]
        None,
        Sent(u32),
    }
    counted_ringbuf!(Event, 2, Event::None);

    #[test]
    fn counters_keep_what_the_ring_buffer_overwrites() {
        for i in 0..5 {
            ringbuf_entry!(Event::Sent(i));
        }
        assert_eq!(__RINGBUF.counters.Sent.load(Ordering::Relaxed), 5);
        assert_eq!(__RINGBUF.ringbuf.borrow_mut().last, Some(0));
    }
}
