//! What the code that Idol generates is built on.
//!
//! A server is a value with a method for each operation of its interface. [`dispatch`] receives one message or
//! notification, checks everything that can be checked without knowing the operation's types, and hands it to the
//! generated code, which decodes the arguments, takes the leases ([`Leased`]) and calls the method.
//!
//! # Whose fault
//!
//! A request that breaks the interface (unknown operation, wrong size, wrong leases) is the client's programming error.
//! It is not answered with an error, which the client could not make sense of, but by faulting the client: see
//! [`ClientError`]. An error that the interface foresees is the operation's `E` in [`RequestError::Runtime`]. A client
//! that has gone away in the middle of an operation gets no answer at all ([`ClientError::WentAway`]); a server that
//! means to answer later keeps the sender's id, returns that, and calls `sys_reply` in its own time.
//!
//! # Cost
//!
//! Everything here is generic and inlined where the types are known. A sized lease is one system call when it is
//! taken (BORROW_INFO) and one for each access.
//!
//! Interface: hubris-interface section 7.6.

#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

mod buffered;
mod dispatch;
mod error;
mod leased;
mod limit;

pub use buffered::{BufReader, BufWriter, LeaseBufReader, LeaseBufWriter};
pub use dispatch::{NotificationHandler, Server, ServerOp, dispatch};
pub use error::{
    ClientError, IHaveConsideredServerDeathWithThisErrorType, RequestError, ServerDeath,
};
pub use leased::{Attribute, AttributeRead, AttributeWrite, Leased, R, RW, W};
pub use limit::LenLimit;
