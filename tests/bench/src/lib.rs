//! Numbers of Plexus and of other file systems, in one run on one machine.
//!
//! A [`systems::Kind`] is started on fresh disks ([`disk`]), a [`Client`] mounts it on this machine or in a
//! guest and does the [`rows`], [`session`] takes what each of them took, [`table`] prints it all.
//! Everything started here is a descendant of this process ([`processes`]) and ends with it.

#![forbid(unsafe_code)]

pub mod agent;
pub mod client;
pub mod counts;
pub mod disk;
mod error;
mod many;
pub mod names;
pub mod network;
pub mod processes;
pub mod results;
pub mod rows;
pub mod s3_client;
pub mod session;
pub mod stop;
pub mod systems;
pub mod table;
pub mod tree;

pub use client::Client;
pub use error::BenchError;
pub use many::many;
