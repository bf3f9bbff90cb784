//! Asking for rights.

use serde::{Deserialize, Serialize};
use types::{AccessMask, Attr, FileId};

/// Which of the rights in `mask` the caller has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Access {
    /// The inode.
    pub file: FileId,
    /// The rights asked about.
    pub mask: AccessMask,
}

/// The answer of the one access decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccessReply {
    /// Those of `mask` that the caller has.
    pub granted: AccessMask,
    /// The attributes it was decided on.
    pub attr: Attr,
}
