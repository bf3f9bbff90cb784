//! Simulated time and devices: everything that can go wrong, from a seed.

mod clock;
mod disk;

pub use clock::SimClock;
pub use disk::{Faults, SimDisk};
