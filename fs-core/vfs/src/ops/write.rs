//! Writing data.

use crate::OpenId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::FileId;

/// What a write has reached when it is acknowledged (RFC 8881 18.32).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Durability {
    /// The memory of the frontend: lost with it, which the verifier then shows.
    Unstable,
    /// The drives, with what is needed to read it back.
    Data,
    /// The drives, with all attributes.
    File,
}

/// Changes when a frontend may have lost unstable writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Verifier(pub [u8; 8]);

/// Where to write.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum WriteOffset {
    /// From this byte on.
    At(u64),
    /// At the end of the file, wherever that is at the moment of the write.
    End,
}

/// Needs `open` to allow writing, or without one the right to write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Write {
    /// The file.
    pub file: FileId,
    /// The open it goes through.
    pub open: Option<OpenId>,
    /// Where to write.
    pub offset: WriteOffset,
    /// The bytes, at most [`types::limits::IO_BYTES_MAX`].
    pub data: Bytes,
    /// What to reach before the reply.
    pub durability: Durability,
}

/// All bytes were written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WriteReply {
    /// Where the first byte went.
    pub offset: u64,
    /// What was reached, no less than asked.
    pub durability: Durability,
    /// For comparison with that of a later commit.
    pub verifier: Verifier,
}
