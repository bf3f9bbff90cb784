//! Stripes: erasure code, parallel write, verified read, reconstruction.

#![forbid(unsafe_code)]

mod codec;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod health;
mod peer;
mod place;
mod store;

pub use codec::{Cauchy, Codec};
pub use drive::Purpose;
pub use error::DataError;
pub use peer::{ChunkPeer, PeerFuture, RemoteDrive, serve_drive_tcp, serve_drive_unix};
pub use place::StripePlace;
pub use store::{
    Capacity, Counters, ListedStripe, RepairReport, StripeCursor, StripeListing, StripeStore,
    StripeStoreConfig,
};
