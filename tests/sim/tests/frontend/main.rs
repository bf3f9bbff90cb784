//! The real frontend and namespace over memory.

mod concurrent;
mod large;
mod narrow;
mod random;
mod replays;
mod restart;
mod rig;
