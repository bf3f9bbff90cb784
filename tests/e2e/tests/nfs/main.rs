//! The NFS head over the in-memory reference, by a client of our own on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, helpers included")]

mod access;
mod bounds;
mod client;
mod delegations;
mod exports;
mod former;
mod hostile;
mod kinds;
mod leases;
mod listing;
mod removal;
mod restart;
mod sessions;
mod sparse;
