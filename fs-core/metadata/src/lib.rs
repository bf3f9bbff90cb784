//! Shards: a replicated log and an ordered map under any deterministic machine, and transactions over them.
//!
//! A [`Shard`] takes encoded commands, makes them durable in its log, applies them in order to its
//! map, and answers. It knows nothing of what the commands mean: that is the [`map::Machine`]'s.
//! Consensus is openraft's, one voter per shard and process; the log lives on one or more homes
//! (drives), the map, in one or more copies, on drives too, unsynced, and is brought up from the log
//! after a crash.
//!
//! A command that needs the slots of several shards is a [`transaction`]. What a shard's log decides is the
//! [`Host`]'s: the machine on the shard's slots, and what transactions hold of them.

#![forbid(unsafe_code)]

mod batch;
mod board;
mod command;
mod config;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod homes;
mod host;
mod maps;
mod member;
mod raft;
mod remote;
mod roll;
mod shard;
mod shards;
pub mod sim;
pub mod transaction;
mod view;

pub use board::Board;
pub use command::Command;
pub use config::{Home, MapSeat, ShardConfig, ShardOptions};
pub use error::{MetadataError, Refused};
pub use host::{Decided, Held, Host, Pending, slot_of, slots_of_range};
pub use member::{Member, ShardView, UnderWay};
pub use remote::{
    AnyView, Anywhere, RemoteShard, RemoteView, ShardAsk, ShardDoor, ShardLimits, ShardTell, serve_shard_tcp,
};
pub use roll::{HomeStanding, MapStanding, MapState, Standing};
pub use shard::Shard;
pub use shards::{ShardSet, ShardSetConfig, Views};
pub use transaction::{Age, Answer, Digest, DigestKey, Record, TxId};
pub use view::{Locking, View};
