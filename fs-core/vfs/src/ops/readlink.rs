//! Reading a symbolic link.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::FileId;

/// Needs no right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadLink {
    /// The symbolic link.
    pub file: FileId,
}

/// Where it points.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadLinkReply {
    /// The target as it was given.
    pub target: Bytes,
}
