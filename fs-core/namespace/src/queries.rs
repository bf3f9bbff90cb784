//! What can be asked of a shard's map. One question, one file.

pub mod accounts;
pub mod client;
pub mod content;
pub mod directory;
pub mod inode;
pub mod pending;
pub mod removal;
pub mod reserved;
pub mod sparse;
pub mod system;
pub mod unfolded;
pub mod xattr;

use crate::inodes::{Reader, Stop};
use crate::outcome::Failure;
use map::{MapError, OrderedMap};
use types::{FsError, FsId};

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// For the caller.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The map is broken.
    #[error(transparent)]
    Map(#[from] MapError),
}

impl From<Stop> for QueryError {
    fn from(stop: Stop) -> QueryError {
        match stop {
            Stop::Fail(Failure::Fs(error)) => QueryError::Fs(error),
            Stop::Fail(_) => QueryError::Fs(FsError::Delay),
            Stop::Map(error) => QueryError::Map(error),
        }
    }
}

/// An answer.
pub type Answer<T> = Result<T, QueryError>;

fn reader(map: &dyn OrderedMap, fs: FsId) -> Reader<'_> {
    Reader { map, fs }
}
