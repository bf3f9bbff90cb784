//! What a file system means: pure commands and queries over an ordered map.
//!
//! A [`Command`] changes the map of one shard and gives a [`Reply`]; a query reads it. Both are
//! deterministic: time, callers and identities come inside. What is stored where is in [`keys`] and
//! [`records`], and on paper in `docs/formats/keys.md`.

#![forbid(unsafe_code)]

mod accounts;
mod command;
mod commands;
mod cookie;
mod digest;
mod extents;
mod fold;
mod inodes;
pub mod keys;
mod machine;
mod outcome;
pub mod queries;
pub mod records;

pub use command::{
    APPENDS_PER_COMMAND, Action, Append, Appended, Changed, Channels, Claim, Command, Create, Exists, Extent,
    Move, NewStripe, NodeSpec, Put, PutIf, PutSource, Seen, Space,
};
pub use digest::digest;
pub use extents::STRIPES_PER_COMMAND;
pub use machine::{Applied, Namespace, appended, applied, first_answer, reply_of};
pub use outcome::{DirChange, Failure, Outcome, Removed, Reply};
