//! The one table from the contract's errors to the protocol's.

use nfs_wire::Status;
use types::{FsError, NameError};

/// Never sent: it stands for an outcome that is not known, and ends in the request being asked for again.
pub(crate) const UNCERTAIN: Status = Status::ServerFault;

/// The code that tells a client of `error`.
pub(crate) fn status(error: FsError) -> Status {
    match error {
        FsError::NotFound => Status::NoEnt,
        FsError::Exists => Status::Exist,
        FsError::NotDirectory => Status::NotDir,
        FsError::IsDirectory => Status::IsDir,
        FsError::IsSymlink => Status::Symlink,
        FsError::WrongKind => Status::WrongType,
        FsError::NotEmpty => Status::NotEmpty,
        FsError::AccessDenied => Status::Access,
        FsError::NotPermitted => Status::Perm,
        FsError::Invalid => Status::Inval,
        FsError::NameTooLong => Status::NameTooLong,
        FsError::NoSpace => Status::NoSpc,
        FsError::QuotaExceeded => Status::DQuot,
        FsError::FileTooLarge => Status::FBig,
        FsError::ReadOnly => Status::Rofs,
        FsError::CrossFilesystem => Status::XDev,
        FsError::TooManyLinks => Status::MLink,
        FsError::Stale => Status::Stale,
        FsError::BadOpen => Status::BadStateId,
        FsError::NoAttribute => Status::NoXattr,
        FsError::AttributeTooLarge => Status::Xattr2Big,
        FsError::LockConflict => Status::Denied,
        FsError::Deadlock => Status::Deadlock,
        FsError::ShareConflict => Status::ShareDenied,
        FsError::Busy | FsError::Delay | FsError::Interrupted => Status::Delay,
        FsError::NothingThere => Status::NxIo,
        FsError::NotSupported => Status::NotSupp,
        FsError::Grace => Status::Grace,
        FsError::NoGrace => Status::NoGrace,
        FsError::NotDone => Status::DeadSession,
        FsError::StaleRequest => Status::RetryUncachedRep,
        FsError::Io => Status::Io,
        FsError::Uncertain => UNCERTAIN,
    }
}

/// The code for bytes that are no name (RFC 8881 section 14.5).
pub(crate) fn name_status(error: NameError) -> Status {
    match error {
        NameError::Empty => Status::Inval,
        NameError::TooLong => Status::NameTooLong,
        NameError::Reserved => Status::BadName,
    }
}
