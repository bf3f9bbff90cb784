//! Listeners, connection budget and shutdown for every head.

#![forbid(unsafe_code)]

mod listener;
mod shutdown;

pub use listener::{Limits, run};
pub use shutdown::{Shutdown, Trigger, shutdown};
