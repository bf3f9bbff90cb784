//! What a shard and those who use it say to each other over the fabric.

use crate::{Locking, MetadataError, Refused, TxId, UnderWay};
use bytes::Bytes;
use fabric::{Limits, Query};
use map::{Locked, MapError};
use serde::{Deserialize, Serialize};
use types::limits::COMMAND_BYTES_MAX;
use types::{ShardId, Slot};

/// Questions of one message.
pub(crate) const WANTS_MAX: usize = 64;
/// Bytes of keys and values in one answer, about: one more entry fits behind it.
pub(crate) const PAGE_BYTES: usize = 256 << 10;
/// Entries in one answer.
pub(crate) const PAGE_ENTRIES: usize = 4096;
/// Bytes of a key or a value.
pub(crate) const ENTRY_BYTES_MAX: usize = 512 << 10;
/// Views of one connection that the server keeps; a further one ends the one that was used the longest time ago.
pub(crate) const VIEWS_MAX: usize = 1024;

/// A question to a shard.
#[derive(Clone, Serialize, Deserialize)]
pub struct ShardAsk(pub(crate) Ask);

/// A shard's answer.
#[derive(Clone, Serialize, Deserialize)]
pub struct ShardTell(pub(crate) Result<Tell, Failure>);

/// The bounds of a connection.
pub struct ShardLimits;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The command is the payload.
    Submit,
    /// The record is the payload, as it stands in the log.
    Tell,
    /// Reads of a view, as it was when it was first asked.
    Read {
        /// Which: a number that the asker has given it.
        view: u64,
        /// With its first question: whose locks it respects.
        open: Option<Locking>,
        /// What is to be read; may be nothing.
        wants: Vec<Want>,
        /// Views that are not needed any more.
        released: Vec<u64>,
    },
    UnderWay,
    /// Answered when the transaction is not prepared any more.
    Ended(TxId),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Want {
    /// A key, and up to so many entries behind it.
    Key { key: Bytes, behind: u32 },
    /// As much as fits of a range, up to so many entries, from its first key on, or from its last.
    Range { from: Bytes, to: Bytes, ascending: bool, entries: u32 },
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Tell {
    /// To `Submit` and `Tell`; the reply is the payload.
    Reply,
    /// To `Read`: what is known of each want, in order; the entries are the payload.
    Read(Vec<Found>),
    UnderWay(UnderWay),
    Ended,
}

/// What one want has brought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// All that is in this range is among the entries: one that begins, or ends, as the want does.
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
    /// How many entries of the payload.
    pub(crate) entries: u32,
    /// Why not even the first is known.
    pub(crate) stopped: Option<Stopped>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stopped {
    Locked { shard: ShardId, holder: u128 },
    Elsewhere(Slot),
    Away(String),
    Broken(String),
}

/// Why a shard did not do as asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    TooLarge(u64),
    Refused(Refused),
    Closed,
    Busy,
    InDoubt(String),
    /// Anything else.
    Stopped(String),
    /// The view has ended, or never was.
    NoView,
    /// The question makes no sense.
    Nonsense,
}

impl Query for ShardAsk {
    fn waits(&self) -> bool {
        matches!(self.0, Ask::Ended(_))
    }
}

impl ShardLimits {
    /// For both ends.
    #[must_use]
    pub fn of_connection() -> Limits {
        Limits {
            // Decisions that have not been forgotten are the largest of the small parts.
            meta_bytes: 1 << 20,
            // A page and one more entry.
            payload_bytes: (PAGE_BYTES + 2 * ENTRY_BYTES_MAX) as u32,
            in_flight: 256,
            connections: 64,
            ..Limits::default()
        }
    }
}

/// The name under which a shard of a cluster answers.
pub(crate) fn service(cluster: &[u8; 16], shard: ShardId) -> String {
    format!("shard {} of {}", shard.0, drive::directory::hex(cluster))
}

const _: () = assert!(COMMAND_BYTES_MAX <= PAGE_BYTES + 2 * ENTRY_BYTES_MAX);

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Failure {
        match error {
            MetadataError::TooLarge(bytes) => Failure::TooLarge(bytes as u64),
            MetadataError::Refused(refused) => Failure::Refused(refused),
            MetadataError::Closed => Failure::Closed,
            MetadataError::Busy => Failure::Busy,
            MetadataError::InDoubt(why) => Failure::InDoubt(why),
            other => Failure::Stopped(other.to_string()),
        }
    }
}

impl From<Failure> for MetadataError {
    fn from(failure: Failure) -> MetadataError {
        match failure {
            Failure::TooLarge(bytes) => MetadataError::TooLarge(usize::try_from(bytes).unwrap_or(usize::MAX)),
            Failure::Refused(refused) => MetadataError::Refused(refused),
            Failure::Closed => MetadataError::Closed,
            Failure::Busy => MetadataError::Busy,
            Failure::InDoubt(why) => MetadataError::InDoubt(why),
            Failure::Stopped(why) => MetadataError::Stopped(why),
            Failure::NoView => MetadataError::Stopped("the view has ended".to_owned()),
            Failure::Nonsense => MetadataError::Stopped("it does not understand the question".to_owned()),
        }
    }
}

impl From<MapError> for Stopped {
    fn from(error: MapError) -> Stopped {
        match error {
            MapError::Locked(Locked { shard, holder }) => Stopped::Locked { shard, holder },
            MapError::Elsewhere(slot) => Stopped::Elsewhere(slot),
            MapError::Away(why) => Stopped::Away(why),
            MapError::Broken(why) => Stopped::Broken(why),
            MapError::Absent => Stopped::Away("the shard has its map elsewhere".to_owned()),
        }
    }
}

impl From<Stopped> for MapError {
    fn from(stopped: Stopped) -> MapError {
        match stopped {
            Stopped::Locked { shard, holder } => MapError::Locked(Locked { shard, holder }),
            Stopped::Elsewhere(slot) => MapError::Elsewhere(slot),
            Stopped::Away(why) => MapError::Away(why),
            Stopped::Broken(why) => MapError::Broken(why),
        }
    }
}
