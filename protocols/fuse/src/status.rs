//! The one table from errors of the file system to those of the kernel.

use fuser::Errno;
use types::FsError;

/// What the caller's system call fails with.
pub(crate) fn errno(error: FsError) -> Errno {
    match error {
        FsError::NotFound => Errno::ENOENT,
        FsError::Exists => Errno::EEXIST,
        FsError::NotDirectory => Errno::ENOTDIR,
        FsError::IsDirectory => Errno::EISDIR,
        FsError::IsSymlink => Errno::ELOOP,
        FsError::WrongKind | FsError::Invalid => Errno::EINVAL,
        FsError::NotEmpty => Errno::ENOTEMPTY,
        FsError::AccessDenied => Errno::EACCES,
        FsError::NotPermitted => Errno::EPERM,
        FsError::NameTooLong => Errno::ENAMETOOLONG,
        FsError::NoSpace => Errno::ENOSPC,
        FsError::QuotaExceeded => Errno::EDQUOT,
        FsError::FileTooLarge => Errno::EFBIG,
        FsError::ReadOnly => Errno::EROFS,
        FsError::CrossFilesystem => Errno::EXDEV,
        FsError::TooManyLinks => Errno::EMLINK,
        FsError::Stale => Errno::ESTALE,
        FsError::BadOpen => Errno::EBADF,
        FsError::NoAttribute => Errno::NO_XATTR,
        FsError::AttributeTooLarge => Errno::E2BIG,
        FsError::LockConflict | FsError::Delay | FsError::Grace => Errno::EAGAIN,
        FsError::Deadlock => Errno::EDEADLK,
        FsError::ShareConflict | FsError::Busy => Errno::EBUSY,
        FsError::NothingThere => Errno::ENXIO,
        FsError::NotSupported => Errno::EOPNOTSUPP,
        FsError::Interrupted => Errno::EINTR,
        FsError::NoGrace | FsError::NotDone | FsError::StaleRequest | FsError::Uncertain | FsError::Io => {
            Errno::EIO
        }
    }
}
