//! Removing an empty directory.

use serde::{Deserialize, Serialize};
use types::{FileId, Name};

/// As [`crate::Unlink`], for a directory without entries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rmdir {
    /// The parent.
    pub dir: FileId,
    /// The name to remove.
    pub name: Name,
}
