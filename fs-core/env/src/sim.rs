//! Simulated time and devices: everything that can go wrong, from a seed.

mod clock;
mod disk;

pub use clock::SimClock;
pub use disk::{DiskFate, DiskImage, Faults, SimDisk};

use crate::{Random, Workers};
use std::sync::Arc;

/// Workers that are tasks of the runtime that asks for them, and take as long as `random` says.
#[must_use]
pub fn workers(random: Arc<dyn Random>) -> Workers {
    Workers::here(random)
}
