//! `unwrap` without the message.
//!
//! `Result::unwrap` formats the error, so a task that uses it links `core::fmt` and the `Debug`
//! code of that error: several kilobytes. [`UnwrapLite::unwrap_lite`] panics with an empty message
//! instead. The panic still carries the caller's file and line.
//!
//! Names and signatures are those of Hubris' crate of this name.

#![no_std]
#![forbid(unsafe_code)]

/// Types that may hold a value.
pub trait UnwrapLite {
    /// The value's type.
    type Output;

    /// Returns the value.
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

/// Panics; out of line, so that each use costs only a compare and a branch.
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
