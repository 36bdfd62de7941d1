//! `unwrap` without the message.
//!
//! `Result::unwrap` formats the error it found, so a task that unwraps anything links `core::fmt` and the `Debug`
//! code of that error: several kilobytes for text that nobody reads. [`UnwrapLite::unwrap_lite`] panics with an
//! empty message instead. The place is still known, because the panic carries the caller's file and line.
//!
//! Interface: hubris-interface section 6.

#![no_std]
#![forbid(unsafe_code)]

/// Types that hold a value or the lack of one.
pub trait UnwrapLite {
    /// What there is when there is something.
    type Output;

    /// Takes the value out.
    ///
    /// # Panics
    ///
    /// With an empty message, if there is no value.
    #[track_caller]
    fn unwrap_lite(self) -> Self::Output;
}

impl<T> UnwrapLite for Option<T> {
    type Output = T;

    #[inline(always)]
    #[track_caller]
    fn unwrap_lite(self) -> T {
        match self {
            Some(value) => value,
            None => failed(),
        }
    }
}

impl<T, E> UnwrapLite for Result<T, E> {
    type Output = T;

    #[inline(always)]
    #[track_caller]
    fn unwrap_lite(self) -> T {
        match self {
            Ok(value) => value,
            Err(_) => failed(),
        }
    }
}

/// The one cold path, out of line so that each use costs a compare and a branch.
#[cold]
#[inline(never)]
#[track_caller]
fn failed() -> ! {
    panic!()
}

#[cfg(test)]
mod tests {
    use super::UnwrapLite;

    #[test]
    fn values_pass_through() {
        assert_eq!(Some(3).unwrap_lite(), 3);
        assert_eq!(Ok::<_, ()>(4).unwrap_lite(), 4);
    }

    #[test]
    #[should_panic]
    fn none_panics() {
        None::<u8>.unwrap_lite();
    }

    #[test]
    #[should_panic]
    fn error_panics() {
        Err::<u8, _>(()).unwrap_lite();
    }
}
