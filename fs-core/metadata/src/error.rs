//! How a shard can fail.

use crate::transaction::TxId;
use drive::log::LogError;
use map::MapError;
use serde::{Deserialize, Serialize};

/// Why a command was not applied, decided from the command and the map alone: every replica says
/// the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// It would change more than [`types::limits::COMMAND_KEYS_MAX`] keys.
    #[error("the command changes too many keys")]
    TooManyKeys,
    /// It would write a key that the map cannot hold: empty, or over 65,534 bytes.
    #[error("the command writes a key that the map cannot hold")]
    BadKey,
    /// It needs slots of other shards.
    #[error("the command needs slots of other shards")]
    Elsewhere,
    /// It needs what a transaction holds.
    #[error("the command needs what transaction {0} holds")]
    Locked(TxId),
    /// A transaction's record that cannot be read, or makes no sense.
    #[error("the command cannot be read")]
    Unreadable,
}

/// A shard did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MetadataError {
    /// The command, or what it reads and writes in several shards, is over
    /// [`types::limits::COMMAND_BYTES_MAX`] or [`types::limits::COMMAND_KEYS_MAX`]; nothing happened.
    #[error("a command of {0} bytes is too large")]
    TooLarge(usize),
    /// The command was refused; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The shard has stopped, for the reason given. A command that was on its way may or may not
    /// take effect when the shard is opened again.
    #[error("the shard has stopped: {0}")]
    Stopped(String),
    /// The shard was closed.
    #[error("the shard is closed")]
    Closed,
    /// Nothing happened: others held what the command needs for too long.
    #[error("what the command needs is held by others")]
    Busy,
    /// It is not known whether the command has taken effect, or will.
    #[error("it is not known whether the command takes effect: {0}")]
    InDoubt(String),
    /// The configuration makes no sense.
    #[error("shard configuration: {0}")]
    Config(String),
    /// Log and map do not belong together, or a record cannot be trusted. Nothing was changed.
    #[error("the shard is damaged: {0}")]
    Damaged(String),
    /// Too few homes of the log can be read.
    #[error("{found} of the log's homes can be read, {needed} are needed")]
    TooFewHomes {
        /// How many can be read.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The map failed.
    #[error(transparent)]
    Map(#[from] MapError),
}
