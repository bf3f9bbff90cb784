//! The real frontend and namespace over memory.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod appends;
mod cleaning;
mod clock;
mod commands;
mod concurrent;
mod crossing;
mod damage;
mod degraded;
mod ended;
mod folding;
mod full;
mod garbage;
mod history;
mod large;
mod narrow;
mod puts;
mod random;
mod removal;
mod replays;
mod restart;
mod rig;
mod scrub;
mod stopped;
