//! Upstream's names of `idol-runtime`.
#![no_std]

pub use ours::{
    dispatch, Attribute, AttributeRead, AttributeWrite, BufReader, BufWriter, ClientError,
    IHaveConsideredServerDeathWithThisErrorType, LeaseBufReader, LeaseBufWriter, Leased, LenLimit,
    NotificationHandler, RequestError, Server, ServerDeath, ServerOp, R, RW, W,
};
