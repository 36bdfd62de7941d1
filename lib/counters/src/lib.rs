//! Counters of events, one for each variant of an enum.
//!
//! An event type implements [`Count`], usually by `#[derive(Count)]`: the derive makes a structure
//! with one counter for each variant, named after it, and Humility finds that structure through
//! DWARF and prints it by name (`humility counters`, `humility counters ipc`). Counting costs a few
//! instructions, and unlike a ring buffer a counter loses no event.
//!
//! ```ignore
//! #[derive(Count)]
//! enum Event {
//!     Started,
//!     Done(#[count(children)] Result<(), Failure>),
//!     #[count(skip)]
//!     None,
//! }
//!
//! counters!(Event);
//!
//! count!(Event::Done(Err(Failure::Timeout)));
//! ```
//!
//! Counters are relaxed 32-bit atomics that wrap.
//!
//! Names and signatures are those of Hubris' crate of this name. The one `unsafe` block makes an
//! atomic number of the word in a counter, see [`AtomicU32`].

#![no_std]
#![allow(
    clippy::declare_interior_mutable_const,
    reason = "each use of such a constant makes new counters, which is its purpose"
)]

mod number;

use core::convert::Infallible;
use core::sync::atomic::Ordering;

#[cfg(feature = "derive")]
pub use counters_derive::Count;
pub use number::AtomicU32;

/// An event that can be counted.
pub trait Count {
    /// Counters for all events of this type.
    type Counters;

    /// Counters at zero, the initial value of a static.
    const NEW_COUNTERS: Self::Counters;

    /// Counts this event.
    fn count(&self, counters: &Self::Counters);
}

/// Declares a static that counts events of a type: `counters!(Event);` or
/// `counters!(NAME, Event);`. Without a name it is `__COUNTERS`.
#[macro_export]
macro_rules! counters {
    ($name:ident, $event:ty $(,)?) => {
        #[used]
        static $name: <$event as $crate::Count>::Counters = <$event as $crate::Count>::NEW_COUNTERS;
    };
    ($event:ty $(,)?) => {
        $crate::counters!(__COUNTERS, $event);
    };
}

/// Counts an event: `count!(event);` or `count!(NAME, event);`.
#[macro_export]
macro_rules! count {
    ($counters:expr, $event:expr $(,)?) => {
        $crate::Count::count(&$event, &$counters)
    };
    ($event:expr $(,)?) => {
        $crate::count!(__COUNTERS, $event)
    };
}

/// Adds one by a load and a store: a task is one thread, and no other code writes its counters. An
/// exclusive access would cost each message more instructions, and ARMv6-M has none.
#[doc(hidden)]
#[inline(always)]
pub fn increment(counter: &AtomicU32) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

impl Count for () {
    type Counters = AtomicU32;
    const NEW_COUNTERS: AtomicU32 = AtomicU32::new(0);

    #[inline(always)]
    fn count(&self, counters: &AtomicU32) {
        increment(counters);
    }
}

impl Count for Infallible {
    type Counters = ();
    const NEW_COUNTERS: () = ();

    fn count(&self, (): &()) {
        match *self {}
    }
}

/// Counts of `bool` events.
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct BoolCounts {
    /// Number of `true`.
    pub r#true: AtomicU32,
    /// Number of `false`.
    pub r#false: AtomicU32,
}

impl Count for bool {
    type Counters = BoolCounts;
    const NEW_COUNTERS: BoolCounts = BoolCounts {
        r#true: AtomicU32::new(0),
        r#false: AtomicU32::new(0),
    };

    #[inline(always)]
    fn count(&self, counters: &BoolCounts) {
        increment(if *self {
            &counters.r#true
        } else {
            &counters.r#false
        });
    }
}

/// Counts of `Result` events.
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct ResultCounters<T, E> {
    /// Counts of the successes.
    pub Ok: T,
    /// Counts of the errors.
    pub Err: E,
}

impl<T: Count, E: Count> Count for Result<T, E> {
    type Counters = ResultCounters<T::Counters, E::Counters>;
    const NEW_COUNTERS: Self::Counters = ResultCounters {
        Ok: T::NEW_COUNTERS,
        Err: E::NEW_COUNTERS,
    };

    #[inline]
    fn count(&self, counters: &Self::Counters) {
        match self {
            Ok(value) => value.count(&counters.Ok),
            Err(error) => error.count(&counters.Err),
        }
    }
}

impl<T: Count, E: Count> Count for &Result<T, E> {
    type Counters = <Result<T, E> as Count>::Counters;
    const NEW_COUNTERS: Self::Counters = <Result<T, E> as Count>::NEW_COUNTERS;

    #[inline]
    fn count(&self, counters: &Self::Counters) {
        (**self).count(counters);
    }
}

/// Counts of `Option` events.
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct OptionCounters<T> {
    /// Counts of the values.
    pub Some: T,
    /// Number of `None`.
    pub None: AtomicU32,
}

impl<T: Count> Count for Option<T> {
    type Counters = OptionCounters<T::Counters>;
    const NEW_COUNTERS: Self::Counters = OptionCounters {
        Some: T::NEW_COUNTERS,
        None: AtomicU32::new(0),
    };

    #[inline]
    fn count(&self, counters: &Self::Counters) {
        match self {
            Some(value) => value.count(&counters.Some),
            None => increment(&counters.None),
        }
    }
}

impl<T: Count> Count for &Option<T> {
    type Counters = <Option<T> as Count>::Counters;
    const NEW_COUNTERS: Self::Counters = <Option<T> as Count>::NEW_COUNTERS;

    #[inline]
    fn count(&self, counters: &Self::Counters) {
        (**self).count(counters);
    }
}
