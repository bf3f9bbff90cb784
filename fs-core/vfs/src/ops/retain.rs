//! Keeping files as they are until a time has come.

use serde::{Deserialize, Serialize};
use types::{FileId, Guard, Retention};

/// Retains a file, for another time than before, or not any more where that may be: then whoever wants to change its
/// content, attributes or names gets [`types::FsError::NotPermitted`], the superuser too. Only its owner may ask, and
/// what was written before counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retain {
    /// The file.
    pub file: FileId,
    /// How.
    pub retention: Retention,
    /// Whoever asks may go around governance.
    pub bypass: bool,
    /// Only while it is retained so, else [`types::FsError::Busy`].
    pub seen: Option<Retention>,
}

/// Guards a directory on the way to what is retained, beside what guards it already; `None`: not any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetGuard {
    /// The directory.
    pub dir: FileId,
    /// How.
    pub guard: Option<Guard>,
}
