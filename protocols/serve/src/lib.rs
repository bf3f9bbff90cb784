//! What every head needs of the world: listeners, connection budget, shutdown, and who may mount what.

#![forbid(unsafe_code)]

mod export;
mod listener;
mod shutdown;

pub use export::{Anonymous, ClientPorts, ClientRule, Export, ExportAccess, Squash};
pub use listener::{Limits, run};
pub use shutdown::{Shutdown, Trigger, shutdown};
