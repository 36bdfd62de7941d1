//! Counting, through the derive and the provided types.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};
use counters::{Count, count, counters};

fn get(counter: &AtomicU32) -> u32 {
    counter.load(Ordering::Relaxed)
}

#[derive(Count)]
#[allow(dead_code)]
enum Event {
    Plain,
    Payload(u32, &'static str),
    Named {
        _byte: u8,
    },
    Tried(#[count(children)] Result<(), Failure>),
    Mixed(u32, #[count(children)] bool),
    Field {
        #[count(children)]
        found: Option<()>,
    },
    #[count(skip)]
    None,
}

#[derive(Count)]
enum Failure {
    Timeout,
    Refused,
}

#[derive(Count)]
enum Wrapped<T> {
    Inner(#[count(children)] T),
    Alone,
}

counters!(Event);
counters!(NAMED, Wrapped<Failure>);

#[test]
fn each_variant_has_its_counter() {
    count!(Event::Plain);
    count!(Event::Plain);
    count!(Event::Payload(5, "five"));
    count!(Event::Named { _byte: 1 });
    count!(Event::Tried(Ok(())));
    count!(Event::Tried(Err(Failure::Refused)));
    count!(Event::Mixed(1, true));
    count!(Event::Field { found: None });
    count!(Event::Field { found: Some(()) });
    count!(Event::None);

    assert_eq!(get(&__COUNTERS.Plain), 2);
    assert_eq!(get(&__COUNTERS.Payload), 1);
    assert_eq!(get(&__COUNTERS.Named), 1);
    assert_eq!(get(&__COUNTERS.Tried.Ok), 1);
    assert_eq!(get(&__COUNTERS.Tried.Err.Refused), 1);
    assert_eq!(get(&__COUNTERS.Tried.Err.Timeout), 0);
    assert_eq!(
        (
            get(&__COUNTERS.Mixed.r#true),
            get(&__COUNTERS.Mixed.r#false)
        ),
        (1, 0)
    );
    assert_eq!(
        (get(&__COUNTERS.Field.Some), get(&__COUNTERS.Field.None)),
        (1, 1)
    );
    // A skipped variant has no counter at all.
    assert_eq!(size_of::<EventCounts>(), 4 * (3 + 3 + 2 + 2));
}

#[test]
fn generic_events_count_their_parameter() {
    count!(NAMED, Wrapped::Inner(Failure::Timeout));
    count!(NAMED, Wrapped::<Failure>::Alone);
    assert_eq!(get(&NAMED.Inner.Timeout), 1);
    assert_eq!(get(&NAMED.Inner.Refused), 0);
    assert_eq!(get(&NAMED.Alone), 1);
}

#[test]
fn references_count_as_what_they_refer_to() {
    let counters = <&Result<(), Infallible>>::NEW_COUNTERS;
    let result = &Ok::<(), Infallible>(());
    result.count(&counters);
    assert_eq!(get(&counters.Ok), 1);
    let counters = <&Option<bool>>::NEW_COUNTERS;
    let option = &Some(false);
    option.count(&counters);
    assert_eq!(get(&counters.Some.r#false), 1);
}
