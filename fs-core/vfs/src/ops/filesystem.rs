//! Finding a filesystem by its name.

use serde::{Deserialize, Serialize};
use types::FileId;

/// Which filesystem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its name in the cluster.
    pub name: String,
}

/// Where it begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FilesystemReply {
    /// Its root directory.
    pub root: FileId,
}
