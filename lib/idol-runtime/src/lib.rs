//! Runtime library of the code that Idol generates.
//!
//! A server is a value with a method for each operation of its interface. [`dispatch()`] receives
//! one message or notification, checks everything that can be checked without knowing the
//! operation's types, and hands it to the generated code, which decodes the arguments, takes the
//! leases ([`Leased`]) and calls the method.
//!
//! # Errors
//!
//! A request that violates the interface (unknown operation, wrong size, wrong leases) is a
//! programming error of the client. The client is faulted for it instead of getting a code that it
//! does not expect: see [`ClientError`]. An error that the interface declares is the operation's
//! `E` in [`RequestError::Runtime`]. For [`ClientError::WentAway`] no reply is sent: either the
//! client was restarted during the operation, or the server defers the reply, keeps the sender's id
//! and calls `sys_reply` later.
//!
//! # Cost
//!
//! Everything here is generic and inlined where the types are known. A sized lease costs one system
//! call when it is taken (BORROW_INFO) and one for each access. An access at an offset other than 0
//! costs three.
//!
//! Names and signatures are those of Idol's runtime library of this name.

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
