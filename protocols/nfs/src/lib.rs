//! The NFS head: sessions and operations of NFSv4.1 and 4.2 over the contract.
//!
//! A request comes in by `connection`, `compound` runs its operations one after the other, each a file in
//! `ops`. What outlives a request is in `clients` (who), `session` (what was answered) and `state` (what is
//! open). No delegations, no pNFS and no ACLs are offered.

#![forbid(unsafe_code)]

mod attrs;
mod backchannel;
mod clients;
mod compound;
mod config;
mod connection;
mod delegations;
mod exports;
mod groups;
mod handle;
mod line;
mod ops;
mod server;
mod session;
mod state;
mod status;

pub use config::NfsConfig;
pub use exports::{ExportError, ExportTable};
pub use server::Server;
