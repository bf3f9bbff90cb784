//! The administration interface of the daemon: JSON over HTTP, and a client for it.
//!
//! Two doors to the same routes: a Unix socket in the data folder, open to whoever may open the
//! folder, and a TCP address, open to whoever can read the token in the data folder. What happens
//! behind them is a [`Control`], which the daemon implements; a method that it leaves out answers
//! "not yet".

#![forbid(unsafe_code)]

mod bounded;
mod client;
mod control;
mod report;
mod routes;
mod server;
mod socket;
mod token;

pub use client::{Client, ClientError};
pub use control::{Control, ControlError, ErrorKind};
pub use report::{
    Background, Capacity, ChunkPlace, ChunkPlaces, CreateFilesystem, CreateS3Key, Damage, DataCache,
    DeleteFilesystem, Drive, DriveState, Drives, ExportReport, ExportSource, Exports, FailuresLeft,
    FilesystemReport, Filesystems, FsckReport, Health, Integrity, Job, Recounted, Removal, S3KeyReport,
    S3Keys, Scrubbed, SetExport, Status, Webhook,
};
pub use server::{AdminDoors, AdminError};
pub use socket::socket_path;
