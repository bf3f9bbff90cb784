//! Reading data.

use crate::OpenId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::FileId;

/// Needs `open` to allow reading, or without one the right to read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Read {
    /// The file.
    pub file: FileId,
    /// The open it goes through.
    pub open: Option<OpenId>,
    /// The first byte.
    pub offset: u64,
    /// Most bytes to read, at most [`types::limits::IO_BYTES_MAX`].
    pub length: u32,
}

/// What was read; holes are zeros.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadReply {
    /// The bytes; fewer than asked only at the end of the file.
    pub data: Bytes,
    /// Whether the file ends with them.
    pub end: bool,
}
