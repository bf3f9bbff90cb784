//! Changing attributes.

use crate::OpenId;
use serde::{Deserialize, Serialize};
use types::{FileId, SetAttr, Time};

/// All changes take effect together or none does. Rules of chmod, chown, truncate and utimensat
/// (POSIX.1-2017): setuid and setgid bits fall when anybody changes the owner (as on Linux) and when
/// somebody other than the superuser changes the size; times are set by the owner, or to the present
/// by who may write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAttrOf {
    /// The inode.
    pub file: FileId,
    /// An open that allows writing: a size is then set without asking the permission bits.
    pub open: Option<OpenId>,
    /// What to change.
    pub set: SetAttr,
    /// Change only while the status change time is this one, else [`types::FsError::Busy`] (the guard
    /// of NFSv3 SETATTR).
    pub if_ctime: Option<Time>,
}
