//! What an inode says of itself.

use crate::{FileId, Time};
use serde::{Deserialize, Serialize};

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// Permission bits with setuid (0o4000), setgid (0o2000) and sticky (0o1000): 12 bits, no file type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Mode(pub u16);

/// Numbers of a device node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Device {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

/// All attributes of an inode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attr {
    /// Which inode.
    pub file: FileId,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: Mode,
    /// Number of names; of a directory 2 plus its subdirectories.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Of a device node; zero otherwise.
    pub device: Device,
    /// Bytes; of a symlink the length of its target, of a directory the number of its entries.
    pub size: u64,
    /// Bytes that the file occupies, holes not counted, before protection.
    pub used: u64,
    /// Last read.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
    /// Creation.
    pub btime: Time,
    /// Grows with every change of content, attributes or (of a directory) entries.
    pub change: u64,
    /// What `change` was when the content of a regular file changed last: two contents of a file never have the same.
    pub content: u64,
}

/// A time to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SetTime {
    /// The server's present.
    Now,
    /// A given time.
    At(Time),
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SetAttr {
    /// New permission bits.
    pub mode: Option<Mode>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New size in bytes: cuts or extends by a hole.
    pub size: Option<u64>,
    /// New time of the last read.
    pub atime: Option<SetTime>,
    /// New time of the last change of content.
    pub mtime: Option<SetTime>,
    /// New creation time.
    pub btime: Option<Time>,
}
