//! Moving a name.

use crate::DirChange;
use serde::{Deserialize, Serialize};
use types::{Attr, FileId, Name};

/// What to do about the target (renameat2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum RenameHow {
    /// Replace it: a file by a file, an empty directory by a directory.
    Replace,
    /// Fail with [`types::FsError::Exists`] when there is one.
    NoReplace,
    /// Both exist and change places.
    Exchange,
    /// As [`Self::NoReplace`], of a file also while it is retained: only heads ask for it, for versions.
    Restore,
}

/// Needs the right to write and search both directories, and what sticky directories ask. A
/// directory cannot be moved below itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rename {
    /// The directory it is in.
    pub from_dir: FileId,
    /// Its name there.
    pub from_name: Name,
    /// The directory to move it to.
    pub to_dir: FileId,
    /// Its name there.
    pub to_name: Name,
    /// What to do about the target.
    pub how: RenameHow,
}

/// What became of the directories; the same twice when they are one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RenameReply {
    /// The change of `from_dir`.
    pub from_dir: DirChange,
    /// The change of `to_dir`.
    pub to_dir: DirChange,
    /// As [`crate::RemoveReply::gone`], of a directory whose place another has taken.
    pub gone: Option<Attr>,
}
