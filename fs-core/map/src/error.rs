//! Why a map gave no answer.

use types::{ShardId, Slot};

/// Held by a transaction that is not decided yet, or not yet finished where it is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Locked {
    /// The shard that holds the key.
    pub shard: ShardId,
    /// The transaction, as its host numbers them.
    pub holder: u128,
}

/// Why a map gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapError {
    /// The map could not be read, or what it has cannot be true. Fatal to the machine that runs on it,
    /// never an answer to a client.
    #[error("ordered map: {0}")]
    Broken(String),
    /// The map cannot be read now.
    #[error("{0}")]
    Away(String),
    /// The map is somewhere else, and what was read of it is not here yet: it is known now what is missing; when it
    /// has been fetched, the same is read again from the beginning.
    #[error("it has to be fetched")]
    Absent,
    /// Keys of this slot are in another map.
    #[error("slot {} is not here", .0.0)]
    Elsewhere(Slot),
    /// The value may be about to change: ask again when the holder has finished.
    #[error("a key of shard {} is locked by transaction {:x}", .0.shard.0, .0.holder)]
    Locked(Locked),
}
