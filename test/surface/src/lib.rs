//! The names and signatures of the libraries for tasks, as in a stock Hubris tree.
//!
//! There is no code here. The tests of this crate assign each function to a pointer of the full
//! type, call each generic function with only the bounds of upstream's, and use each macro in each
//! of its forms, in the Rust edition of third-party tasks. They prove the names and signatures by
//! compiling, and check the few values.

#![no_std]
#![forbid(unsafe_code)]
