//! What the file system says, as S3 says it.

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, s3_error};
use std::borrow::Cow;
use types::FsError;

/// An error of a code that the wire does not know by itself.
pub(crate) fn custom(
    code: &'static str,
    status: StatusCode,
    message: impl Into<Cow<'static, str>>,
) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// A name is taken by a directory where a file was to be, or the other way round.
pub(crate) fn name_conflict() -> S3Error {
    let message = "A file and a directory cannot have the same name here.";
    custom("ObjectNameConflict", StatusCode::CONFLICT, message)
}

/// As an S3 client hears of it.
pub(crate) fn from_fs(error: FsError) -> S3Error {
    match error {
        FsError::NotFound | FsError::Stale => s3_error!(NoSuchKey, "The specified key does not exist."),
        FsError::AccessDenied | FsError::NotPermitted | FsError::ReadOnly => {
            s3_error!(AccessDenied, "Access Denied")
        }
        FsError::IsDirectory | FsError::NotDirectory | FsError::IsSymlink | FsError::WrongKind => {
            name_conflict()
        }
        FsError::NotEmpty | FsError::Exists | FsError::Busy => {
            s3_error!(ConditionalRequestConflict, "The object was changed meanwhile.")
        }
        FsError::NameTooLong => {
            s3_error!(KeyTooLongError, "A part of the key between slashes is over 255 bytes long.")
        }
        FsError::NoSpace | FsError::QuotaExceeded => {
            custom("InsufficientStorage", StatusCode::INSUFFICIENT_STORAGE, error.to_string())
        }
        FsError::FileTooLarge => s3_error!(EntityTooLarge, "The object is larger than a file can be."),
        FsError::AttributeTooLarge => {
            s3_error!(MetadataTooLarge, "What is to be kept with the object is too large.")
        }
        FsError::Delay
        | FsError::Grace
        | FsError::Uncertain
        | FsError::Interrupted
        | FsError::LockConflict
        | FsError::ShareConflict
        | FsError::Deadlock => s3_error!(SlowDown, "Please try again."),
        FsError::Invalid
        | FsError::CrossFilesystem
        | FsError::TooManyLinks
        | FsError::BadOpen
        | FsError::NoAttribute
        | FsError::NothingThere
        | FsError::NotSupported
        | FsError::NoGrace
        | FsError::NotDone
        | FsError::StaleRequest
        | FsError::Io => s3_error!(InternalError, "{}", error),
    }
}

/// For what was refused by a condition.
pub(crate) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// There is no such key.
pub(crate) fn no_such_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

/// The caller may not.
pub(crate) fn access_denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}
