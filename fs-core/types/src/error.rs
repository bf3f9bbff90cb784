//! Every way an operation of the file system can end other than well.

use serde::{Deserialize, Serialize};

/// A closed list; each head maps it to its protocol's codes in one exhaustive table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum FsError {
    /// No such entry.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("file exists")]
    Exists,
    /// A directory was needed.
    #[error("not a directory")]
    NotDirectory,
    /// Anything but a directory was needed.
    #[error("is a directory")]
    IsDirectory,
    /// A symbolic link where a file was needed.
    #[error("is a symbolic link")]
    IsSymlink,
    /// The kind of inode does not have this operation.
    #[error("wrong kind of file")]
    WrongKind,
    /// The directory has entries.
    #[error("directory not empty")]
    NotEmpty,
    /// The permission bits or the ACL say no (EACCES).
    #[error("permission denied")]
    AccessDenied,
    /// Only the owner or the superuser may (EPERM).
    #[error("operation not permitted")]
    NotPermitted,
    /// Arguments that make no sense.
    #[error("invalid argument")]
    Invalid,
    /// A name over 255 bytes, a symlink target over 4,095.
    #[error("name too long")]
    NameTooLong,
    /// The cluster is full.
    #[error("no space left")]
    NoSpace,
    /// A quota is used up.
    #[error("quota exceeded")]
    QuotaExceeded,
    /// An offset beyond the largest file.
    #[error("file too large")]
    FileTooLarge,
    /// The filesystem or export is read-only.
    #[error("read-only file system")]
    ReadOnly,
    /// The two files are in different filesystems.
    #[error("crosses filesystems")]
    CrossFilesystem,
    /// The inode has as many names as it can.
    #[error("too many links")]
    TooManyLinks,
    /// The handle's inode is gone.
    #[error("stale file handle")]
    Stale,
    /// The open is unknown: closed, expired, or from before a restart.
    #[error("no such open")]
    BadOpen,
    /// No such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// An attribute's value or the list of names is over its limit.
    #[error("attribute too large")]
    AttributeTooLarge,
    /// A lock of another owner stands in the way.
    #[error("locked by another owner")]
    LockConflict,
    /// Waiting would never end.
    #[error("deadlock")]
    Deadlock,
    /// Another open denies this kind of access.
    #[error("denied by a share reservation")]
    ShareConflict,
    /// The inode is in use in a way that forbids this.
    #[error("busy")]
    Busy,
    /// No data or hole at or after the offset (ENXIO of SEEK).
    #[error("nothing there")]
    NothingThere,
    /// Not offered here.
    #[error("not supported")]
    NotSupported,
    /// Not yet: clients may still reclaim what they had.
    #[error("in grace")]
    Grace,
    /// Nothing to reclaim: the client never had it, has given it up, or comes too late.
    #[error("nothing to reclaim")]
    NoGrace,
    /// The change had not been done when its first answer was asked for.
    #[error("not done before")]
    NotDone,
    /// A retry whose first reply is no longer remembered.
    #[error("retry out of order")]
    StaleRequest,
    /// Try again: the peer is restarting or overloaded.
    #[error("try again")]
    Delay,
    /// The caller gave up waiting.
    #[error("interrupted")]
    Interrupted,
    /// Data were lost or cannot be read now.
    #[error("input/output error")]
    Io,
    /// It may have been done, or may yet be: only the same request again, by its identity, tells.
    #[error("outcome unknown")]
    Uncertain,
}
