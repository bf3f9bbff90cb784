//! Shards: a replicated log and an ordered map under any deterministic machine.
//!
//! A [`Shard`] takes encoded commands, makes them durable in its log, applies them in order to its
//! map, and answers. It knows nothing of what the commands mean: that is the [`map::Machine`]'s.
//! Consensus is openraft's, one voter per shard and process; the log lives on one or more homes
//! (drives), the map, in one or more copies, on drives too, unsynced, and is brought up from the log
//! after a crash.

#![forbid(unsafe_code)]

mod batch;
mod config;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod homes;
mod maps;
mod raft;
mod roll;
mod shard;
mod view;

pub use config::{Home, MapSeat, ShardConfig, ShardOptions};
pub use error::{MetadataError, Refused};
pub use roll::{HomeStanding, MapStanding, MapState, Standing};
pub use shard::Shard;
pub use view::View;
