//! Logs and counters.
//!
//! Logs go to standard error, for the journal; `PLEXUS_LOG` selects what is logged, such as
//! `info,nfs=debug`. A [`Counter`] is a static that counts, and is listed once it has counted.

#![forbid(unsafe_code)]

mod counter;
mod log;

pub use counter::{Counter, counters};
pub use log::{LogError, init, into_file};
