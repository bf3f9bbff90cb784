//! What the daemon can be asked to do.

use crate::report::{
    ChunkPlaces, CreateFilesystem, DeleteFilesystem, Drives, Exports, FilesystemReport, Filesystems,
    FsckReport, Removal, SetExport, Status,
};
use serde::{Deserialize, Serialize};
use std::future::Future;

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Nothing behind this yet.
    NotYet,
    /// There is no such thing.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// It does not fit the present state.
    Conflict,
    /// The caller may not.
    Denied,
    /// It went wrong.
    Failed,
}

/// Why something was not done, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// For programs.
    pub kind: ErrorKind,
    /// For people: one sentence.
    pub message: String,
}

impl ControlError {
    /// An error of a kind with its sentence.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ControlError {
        ControlError { kind, message: message.into() }
    }

    /// For what this daemon does not do yet.
    #[must_use]
    pub fn not_yet(what: &str) -> ControlError {
        ControlError::new(ErrorKind::NotYet, format!("{what}: this version does not do that yet"))
    }
}

macro_rules! control {
    ($($(#[$doc:meta])* $method:ident($($argument:ident: $type:ty),*) -> $reply:ty, $what:literal;)*) => {
        /// The daemon as its administrators see it. What it does not implement is answered with
        /// [`ErrorKind::NotYet`], never with an invention.
        pub trait Control: Send + Sync + 'static {
            $($(#[$doc])*
            fn $method(&self, $($argument: $type),*)
                -> impl Future<Output = Result<$reply, ControlError>> + Send {
                $(let _ = $argument;)*
                async { Err(ControlError::not_yet($what)) }
            })*
        }
    };
}

control! {
    /// Health, capacity and what was found and repaired.
    status() -> Status, "status";
    /// All drives.
    drives() -> Drives, "drive list";
    /// Takes a drive out of service, as if it had failed.
    drive_fail(id: u32) -> (), "drive fail";
    /// Puts an empty drive in the place of one that is lost.
    drive_replace(id: u32) -> (), "drive replace";
    /// Checks everything while it is in use.
    fsck() -> FsckReport, "fsck";
    /// Where the chunks of a file are; the path begins with the filesystem's name.
    placement(path: String) -> ChunkPlaces, "explain placement";
    /// All filesystems.
    filesystems() -> Filesystems, "filesystem list";
    /// Makes a filesystem.
    filesystem_create(request: CreateFilesystem) -> FilesystemReport, "filesystem create";
    /// Removes a filesystem and all that is in it.
    filesystem_delete(request: DeleteFilesystem) -> Removal, "filesystem delete";
    /// All exports.
    exports() -> Exports, "export list";
    /// Adds an export, or changes the one of the same path.
    export_set(export: SetExport) -> (), "export set";
    /// Takes back what was set of the export of this path.
    export_remove(path: String) -> (), "export remove";
}
