//! A shard behind the fabric.
//!
//! Commands and records travel as they stand in the log. A view cannot wait in the middle of a question: it keeps what
//! it has of the shard's map, says [`map::MapError::Absent`] of what it has not, and fetches that when it is told to;
//! the server keeps the snapshot, so that all of it is of one moment. Why so: docs/decisions/0007.

mod anywhere;
mod entries;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod known;
mod member;
mod serve;
pub(crate) mod slowly;
#[cfg(test)]
mod tests;
mod view;
pub(crate) mod wire;

pub use anywhere::{AnyView, Anywhere};
pub use member::RemoteShard;
pub use serve::{ShardDoor, serve_shard_tcp};
pub use view::RemoteView;
pub use wire::{ShardAsk, ShardLimits, ShardTell};
