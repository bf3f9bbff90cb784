//! The real frontend and namespace over memory.

mod commands;
mod concurrent;
mod large;
mod random;
mod replays;
mod restart;
mod rig;
