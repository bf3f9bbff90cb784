//! Making unstable writes durable.

use crate::Verifier;
use serde::{Deserialize, Serialize};
use types::{ByteRange, FileId};

/// An error here, or a changed verifier, tells of unstable writes that were lost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The file.
    pub file: FileId,
    /// The bytes that matter.
    pub range: ByteRange,
}

/// Everything acknowledged before in the range is durable, with all attributes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommitReply {
    /// For comparison with that of the writes.
    pub verifier: Verifier,
}
