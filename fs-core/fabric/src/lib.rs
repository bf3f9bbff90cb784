//! Requests and replies between roles, wherever the peer is: in this process, on this machine, elsewhere.
//!
//! A [`Client`] calls, a [`Handler`] answers. Messages are owned values with a small part (`postcard`)
//! and a payload that is never copied into it. Every queue and every length is bounded: a caller waits
//! while too much is under way. A call ends with its reply, at its deadline, or when the connection does.
//!
//! TCP connections show a shared token in clear: they are for loopback and trusted wires.

#![forbid(unsafe_code)]

mod client;
mod frame;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod link;
mod outbox;
mod server;
mod token;

pub use client::{Answer, Client};
pub use link::{Address, Link};
pub use server::{Peer, Who, serve_tcp, serve_unix};
pub use token::Token;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::io;

/// Something that can be sent.
pub trait Message: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Message for T {}

/// A request.
pub trait Query: Message {
    /// Whether the answer may wait for other requests (a lock). Such a request takes no room from
    /// those it waits for, and giving up the call stops the handler; every other request is
    /// completed once it has been sent.
    fn waits(&self) -> bool {
        false
    }
}

/// Answers requests of a peer.
pub trait Handler<Q, A>: Send + Sync + 'static {
    /// Answers one request.
    fn handle(&self, peer: &Peer, query: Q, payload: Bytes) -> impl Future<Output = (A, Bytes)> + Send;

    /// A connection has ended; requests that it has sent may still be under way.
    fn gone(&self, _peer: &Peer) {}
}

/// Bounds of a connection; both ends have their own.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the small part of a message.
    pub meta_bytes: u32,
    /// Bytes of a payload.
    pub payload_bytes: u32,
    /// Requests under way on a connection.
    pub in_flight: usize,
    /// Requests on a connection that wait for others; more are refused with [`FabricError::Busy`].
    pub waiting: usize,
    /// Connections of a listener; more wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { meta_bytes: 1 << 20, payload_bytes: 2 << 20, in_flight: 64, waiting: 4096, connections: 256 }
    }
}

/// Why a call or a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// The connection has ended; whether the request was carried out is unknown.
    #[error("the connection is closed")]
    Closed,
    /// No reply in time; whether the request was carried out is unknown.
    #[error("no reply in time")]
    TimedOut,
    /// The peer does not let us in.
    #[error("the peer refuses: {0}")]
    Refused(String),
    /// The peer has too many waiting requests.
    #[error("the peer is busy")]
    Busy,
    /// A message over the limits of this end.
    #[error("a message of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What it would take.
        bytes: usize,
        /// What may be.
        limit: u32,
    },
    /// What arrived is no message that we know.
    #[error("not understood: {0}")]
    Protocol(&'static str),
    /// A message that cannot be written or read as its type.
    #[error("a message does not have its form: {0}")]
    Form(#[from] postcard::Error),
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}
