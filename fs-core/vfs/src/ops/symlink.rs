//! Making a symbolic link.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{FileId, Name, SetAttr};

/// As [`crate::Mkdir`]; the mode is 0777 always.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Symlink {
    /// The parent.
    pub dir: FileId,
    /// The new name.
    pub name: Name,
    /// Where it points, 1 to 4,095 bytes without NUL.
    pub target: Bytes,
    /// Further attributes to give it at once.
    pub set: SetAttr,
}
