//! Every name and signature of the libraries that tasks are written with, as the interface description has them.
//!
//! There is no code here: the tests of this crate assign each function to a pointer of the full type, call each
//! generic function under no more bounds than the interface promises, and use each macro in each of its forms, in
//! the Rust edition of third-party tasks. What they prove they prove by compiling; the few values are checked too.
//! Section numbers are those of hubris-interface.

#![no_std]
#![forbid(unsafe_code)]
