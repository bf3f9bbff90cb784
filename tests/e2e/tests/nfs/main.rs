//! The NFS head over the in-memory reference, by a client of our own on real sockets.

mod access;
mod client;
mod hostile;
mod leases;
mod listing;
mod restart;
mod sessions;
mod sparse;
