//! Making a node without opening it.

use serde::{Deserialize, Serialize};
use types::{Device, FileId, Mode, Name, SetAttr};

/// What to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device; only the superuser.
    CharDevice(Device),
    /// A block device; only the superuser.
    BlockDevice(Device),
}

/// As [`crate::Mkdir`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mknod {
    /// The parent.
    pub dir: FileId,
    /// The new name.
    pub name: Name,
    /// What to make.
    pub kind: NodeKind,
    /// Permission bits, after the umask.
    pub mode: Mode,
    /// Further attributes to give it at once.
    pub set: SetAttr,
}
