//! Files that are delegated to a client.

use serde::{Deserialize, Serialize};

/// What a client may do with a file without asking, until it is told otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Delegation {
    /// Trust what it has read: nobody changes the file before the client is told.
    Read,
    /// Keep what it writes, too: nobody looks at the file before the client is told.
    Write,
}

/// A delegation, by its number: never given again in a life of the daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DelegationId(pub u64);
