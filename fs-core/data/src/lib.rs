//! Stripes: erasure code, parallel write, verified read, reconstruction.

#![forbid(unsafe_code)]

mod codec;
mod error;
mod health;
mod peer;
mod place;
mod store;

pub use codec::{Cauchy, Codec};
pub use drive::Purpose;
pub use error::DataError;
pub use peer::{ChunkPeer, PeerFuture};
pub use place::StripePlace;
pub use store::{
    Capacity, Counters, ListedStripe, RepairReport, StripeCursor, StripeListing, StripeStore,
    StripeStoreConfig,
};
