//! One drive: its identity, chunks, log and map in one directory.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod chunk;
pub mod directory;
pub mod footprint;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod headroom;
#[cfg(test)]
mod histories;
mod index;
mod journal;
pub mod log;
pub mod map;
mod scan;
pub mod service;
mod space;
mod store;
mod superblock;

pub use chunk::{ChunkInfo, ChunkKey, Incarnation, Shape};
pub use directory::{DriveDirectory, DriveIdentity, IdentityError};
pub use service::{ChunkData, DriveError, DriveReply, DriveRequest, DriveStat, Purpose, WriteChunk, Writer};
pub use store::ChunkStore;
