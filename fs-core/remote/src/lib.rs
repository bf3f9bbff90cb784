//! The contract carried to another process: a mount goes on while the daemon behind it restarts.
//!
//! [`RemoteVfs`] implements the contract by asking a daemon, which answers through [`serve_unix`] or
//! [`serve_tcp`]. When the daemon goes away, requests wait and are sent again with the identity of their first
//! try; in the daemon's next life opens are opened again, locks are claimed again and unstable writes
//! that it has lost are written again before anything else happens. Callers see a pause.
//!
//! What others change goes through [`Coherent`], in the daemon: so a mount may trust for a moment what it has heard of a
//! file, and is told before that is no longer so; and files may be delegated to clients of other heads, who are asked first.
//!
//! Known limits: an append whose reply is lost with the daemon may be there twice (no reply, no identity:
//! unstable data have none), and what another head overwrote since the daemon wrote our unstable data back,
//! at most [`RemoteOptions::commit_after`] ago, may be overwritten again.

#![forbid(unsafe_code)]

mod channels;
mod client;
mod coherent;
mod delegated_file;
mod delegating;
mod door;
mod former;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod held;
mod link;
mod opens;
mod recover;
mod retained;
mod server;
mod shared;
mod touches;
mod trust;
mod wire;

/// Name of the Unix socket in a daemon's data folder.
pub const SOCKET: &str = "vfs.sock";

pub use client::RemoteVfs;
pub use coherent::Coherent;
pub use delegated_file::DelegatedFile;
pub use door::TcpDoor;
pub use former::Former;
pub use link::{Address, RemoteError, RemoteOptions};
pub use server::{ServeOptions, serve_tcp, serve_unix};
