//! Share reservations, byte-range locks and leases as a pure state machine.
//!
//! [`Locks`] is the state of one inode: an [`Event`] goes in, an [`Outcome`] comes out. [`Waits`]
//! is the graph of who waits for whom over all inodes of one owner of this state, so that a wait
//! that would never end is refused. No clock, no randomness, no I/O: what expires and when is said
//! by whoever holds the state. [`Grace`] tells what has to wait after a restart until others have claimed what they had.
//! [`Leases`] are what clients may trust without asking again, [`Delegations`] what they may do without.

#![forbid(unsafe_code)]

mod delegations;
mod event;
mod grace;
mod held;
mod leases;
pub mod limits;
mod locks;
mod owner;
mod share;
mod waits;

pub use delegations::{Delegated, Delegations, InWay, Need, Refusal, Use};
pub use event::{Answer, Conflict, Event, Outcome, Request};
pub use grace::{Grace, Holds};
pub use leases::{Change, Holder, LeaseId, Leases, Mark};
pub use locks::Locks;
pub use owner::{Client, LockMode, OpenKey, Owner, Space, WaitId};
pub use share::{Share, ShareAccess};
pub use waits::Waits;
