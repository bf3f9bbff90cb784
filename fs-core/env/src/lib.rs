//! Time, randomness, threads and block files: the only door to what is not deterministic.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod aligned;
pub mod block;
pub mod clock;
pub mod durable;
pub mod random;
pub mod sim;
pub mod space;
pub mod started;
pub mod workers;

pub use aligned::AlignedBuf;
pub use block::{BlockError, BlockFile, Engine, IoFuture, OpenBlockFile};
pub use clock::{Clock, SystemClock};
pub use random::{Random, SeededRandom, SystemRandom};
pub use started::start_here;
pub use workers::{Running, Workers};
