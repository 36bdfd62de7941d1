//! The macros.
//!
//! This crate's features select the definition of each; features of the calling crate have no
//! effect.

/// Declares a ring buffer: `ringbuf!(Trace, 16, Trace::None);`. A name before the type replaces
/// `__RINGBUF` (it should end in `RINGBUF`, by which Humility lists it), `no_dedup` at the end
/// keeps repeated entries apart.
#[cfg(not(feature = "disabled"))]
#[macro_export]
macro_rules! ringbuf {
    ($name:ident, $type:ty, $n:expr, $init:expr, no_dedup $(,)?) => {
        #[used]
        static $name: $crate::StaticCell<$crate::Ringbuf<$type, (), { $n }>> =
            $crate::StaticCell::new($crate::Ringbuf::new($init, ()));
    };
    // Before the next rule, which would match a length that is an identifier as the type, and the
    // type as the name.
    ($type:ident, $n:ident, $init:expr, no_dedup $(,)?) => {
        $crate::ringbuf!(__RINGBUF, $type, $n, $init, no_dedup);
    };
    ($name:ident, $type:ty, $n:expr, $init:expr $(,)?) => {
        #[used]
        static $name: $crate::StaticCell<$crate::Ringbuf<$type, u16, { $n }>> =
            $crate::StaticCell::new($crate::Ringbuf::new($init, 0));
    };
    ($type:ty, $n:expr, $init:expr, no_dedup $(,)?) => {
        $crate::ringbuf!(__RINGBUF, $type, $n, $init, no_dedup);
    };
    ($type:ty, $n:expr, $init:expr $(,)?) => {
        $crate::ringbuf!(__RINGBUF, $type, $n, $init);
    };
}

/// Declares a static that records nothing: ring buffers are disabled.
#[cfg(feature = "disabled")]
#[macro_export]
macro_rules! ringbuf {
    // Before the next rule, which would match a length that is an identifier as the type, and the
    // type as the name.
    ($type:ident, $n:ident, $init:expr, no_dedup $(,)?) => {
        $crate::ringbuf!(__RINGBUF, $type, $n, $init);
    };
    ($name:ident, $type:ty, $n:expr, $init:expr $(, no_dedup)? $(,)?) => {
        #[allow(dead_code)]
        static $name: () = {
            // Checks the types, so that a task which builds with this setting builds with the other
            // one.
            let _: $type = $init;
        };
    };
    ($type:ty, $n:expr, $init:expr $(, no_dedup)? $(,)?) => {
        $crate::ringbuf!(__RINGBUF, $type, $n, $init);
    };
}

/// As [`ringbuf!`], and counts the entries by variant; the type must implement `counters::Count`.
#[cfg(all(feature = "counters", not(feature = "counters-disabled")))]
#[macro_export]
macro_rules! counted_ringbuf {
    ($name:ident, $type:ident, $n:expr, $init:expr, no_dedup $(,)?) => {
        #[used]
        static $name: $crate::CountedRingbuf<$type, (), { $n }> =
            $crate::CountedRingbuf::new($init, ());
    };
    ($type:ident, $n:ident, $init:expr, no_dedup $(,)?) => {
        $crate::counted_ringbuf!(__RINGBUF, $type, $n, $init, no_dedup);
    };
    ($name:ident, $type:ident, $n:expr, $init:expr $(,)?) => {
        #[used]
        static $name: $crate::CountedRingbuf<$type, u16, { $n }> =
            $crate::CountedRingbuf::new($init, 0);
    };
    ($type:ident, $n:expr, $init:expr, no_dedup $(,)?) => {
        $crate::counted_ringbuf!(__RINGBUF, $type, $n, $init, no_dedup);
    };
    ($type:ident, $n:expr, $init:expr $(,)?) => {
        $crate::counted_ringbuf!(__RINGBUF, $type, $n, $init);
    };
}

/// As [`ringbuf!`]: counters are not enabled, or disabled.
#[cfg(any(not(feature = "counters"), feature = "counters-disabled"))]
#[macro_export]
macro_rules! counted_ringbuf {
    ($($arguments:tt)*) => {
        $crate::ringbuf!($($arguments)*);
    };
}

/// Records an entry: `ringbuf_entry!(payload);` in `__RINGBUF`, or
/// `ringbuf_entry!(NAME, payload);`.
#[macro_export]
macro_rules! ringbuf_entry {
    ($name:expr, $payload:expr $(,)?) => {{
        let payload = $payload;
        $crate::RecordEntry::record_entry(&$name, (::core::line!() & 0xffff) as u16, &payload);
    }};
    ($payload:expr $(,)?) => {
        $crate::ringbuf_entry!(__RINGBUF, $payload)
    };
}

/// As [`ringbuf_entry!`], in a ring buffer that was declared at the top of the crate.
#[allow(clippy::crate_in_macro_def, reason = "the calling crate is meant")]
#[macro_export]
macro_rules! ringbuf_entry_root {
    ($name:ident, $payload:expr $(,)?) => {
        $crate::ringbuf_entry!(crate::$name, $payload)
    };
    ($payload:expr $(,)?) => {
        $crate::ringbuf_entry!(crate::__RINGBUF, $payload)
    };
}
