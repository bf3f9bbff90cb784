//! What travels: the contract's own requests and replies, bulk data beside them.

use crate::coherent::Told;
use bytes::Bytes;
use fabric::{Limits, Query};
use serde::{Deserialize, Serialize};
use types::limits::IO_BYTES_MAX;
use types::{FsError, FsId};
use vfs::{ClientId, Ctx, LockKind, Reply, Request};

/// Name and version of what is spoken; a daemon of another version refuses.
pub(crate) const SERVICE: &str = "vfs/6";

#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a greeting comes once a connection")]
pub(crate) enum Ask {
    /// The first words on every connection; the filesystem, where one is mounted already.
    Hello { client: ClientId, mounted: Option<FsId> },
    /// A request; data to write are the payload.
    Do { ctx: Ctx, request: Request },
    /// What is about to change that the client trusts; waits until there are some.
    Changes { client: ClientId },
    /// The client trusts these no more.
    Forgotten { told: Vec<Told> },
}

impl Query for Ask {
    fn waits(&self) -> bool {
        match self {
            Ask::Do { request: Request::Lock(lock), .. } => lock.wait && lock.kind != LockKind::Unlock,
            Ask::Changes { .. } => true,
            _ => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Tell {
    /// Which life of the daemon this is, and whether it still has the client's opens and locks.
    Hello { instance: u64, known: bool },
    /// The outcome; data that were read are the payload.
    Done(Result<Reply, FsError>),
    /// To [`Ask::Changes`].
    Changes(Vec<Told>),
    /// To [`Ask::Forgotten`].
    Noted,
}

/// Groups of a caller and entries of a listing are the largest of the small parts.
pub(crate) fn limits() -> Limits {
    Limits { meta_bytes: 1 << 20, payload_bytes: IO_BYTES_MAX as u32 + 4096, ..Limits::default() }
}

/// Takes the data out of a request that writes.
pub(crate) fn split_request(mut request: Request) -> (Request, Bytes) {
    let data = match &mut request {
        Request::Write(write) => std::mem::take(&mut write.data),
        _ => Bytes::new(),
    };
    (request, data)
}

/// Puts the data back.
pub(crate) fn join_request(mut request: Request, payload: Bytes) -> Request {
    if let Request::Write(write) = &mut request {
        write.data = payload;
    }
    request
}

/// Takes the data out of a reply that has read.
pub(crate) fn split_reply(mut reply: Result<Reply, FsError>) -> (Result<Reply, FsError>, Bytes) {
    let data = match &mut reply {
        Ok(Reply::Read(read)) => std::mem::take(&mut read.data),
        _ => Bytes::new(),
    };
    (reply, data)
}

/// Puts the data back.
pub(crate) fn join_reply(mut reply: Result<Reply, FsError>, payload: Bytes) -> Result<Reply, FsError> {
    if let Ok(Reply::Read(read)) = &mut reply {
        read.data = payload;
    }
    reply
}
