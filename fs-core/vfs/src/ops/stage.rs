//! Making a file that has no name yet.

use serde::{Deserialize, Serialize};
use types::{FileId, Mode};

/// Makes an empty regular file without a name and opens it for reading and writing. [`crate::Put`] gives it a name;
/// with the last close, or a restart, before that it is gone. Needs the right to write and search `near`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// The directory that its name will probably be in: where it is kept, and what it inherits from.
    pub near: FileId,
    /// Permission bits, after the umask.
    pub mode: Mode,
}
