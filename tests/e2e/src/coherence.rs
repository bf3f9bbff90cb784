//! One truth at all doors: workers at two FUSE mounts and two NFS mounts do random operations on the same few files and
//! names, and what they have seen must be explained by one order in which each operation happens at once, at some
//! moment between its beginning and its end (Herlihy and Wing 1990); for NFS with defaults, by close-to-open.
//!
//! Meanwhile the daemon, mounts, workers and the guest are stopped, or killed and started again.

mod check;
mod evidence;
mod faults;
mod hands;
mod history;
mod linear;
mod models;
mod places;
mod run;
mod sessions;
mod show;
mod worker;

pub use hands::lead_hands;
pub use places::Way;
pub use worker::CoherenceWorker;

use crate::daemon::{DaemonError, DaemonOptions};
use crate::guest::{Guest, GuestError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a run did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum CoherenceError {
    /// Of the machine.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Of the daemon.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Of the guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A worker failed or is stuck, or the end is not as it should be.
    #[error("seed {seed}: {what}\n{daemon}")]
    Failed {
        /// The seed that all follows from.
        seed: u64,
        /// What happened.
        what: String,
        /// The end of what the daemon logged.
        daemon: String,
    },
    /// What was seen cannot have been.
    #[error("seed {seed}: {count} violations; the first:\n{shown}\nfaults: {faults}")]
    Violated {
        /// The seed that all follows from.
        seed: u64,
        /// How many objects have one.
        count: usize,
        /// The shortest histories that show some of them.
        shown: String,
        /// What was done to whom.
        faults: String,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Coherence {
    /// Decides operations and faults.
    pub seed: u64,
    /// How many operations, of all workers together.
    pub operations: u64,
    /// Whether processes are stopped and killed.
    pub faults: bool,
    /// Whether the power of the daemon's disk is cut, too, among the faults.
    pub power_cuts: bool,
    /// Workers at each FUSE mount. Of two processes that read at the same moment what others write, a kernel gives one an
    /// answer of before, and where one writes and one reads it may leave the answer to the reader aside.
    pub at_fuse: u32,
    /// Workers at each NFS mount.
    pub at_nfs: u32,
    /// Operations on the same files, before others take their places.
    pub generation: u64,
    /// The guest whose kernel is the NFS client; without it, only the FUSE mounts are looked at.
    pub guest: Option<Guest>,
    /// Minor version of NFS at the mount with defaults, 1 or 2; the other mount has the other.
    pub minor: u32,
    /// How the daemon runs.
    pub options: DaemonOptions,
    /// Where the logs of all workers are kept, if anywhere.
    pub kept: Option<PathBuf>,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoherenceReport {
    /// Operations at each mount.
    pub operations: BTreeMap<String, u64>,
    /// Those of which nobody knows whether they have happened.
    pub unknown: u64,
    /// Histories of which it was not found out whether an order explains them.
    pub undecided: u64,
    /// What was done to whom, how often.
    pub faults: BTreeMap<&'static str, u64>,
    /// How long they worked.
    pub took: Duration,
    /// How long the check took.
    pub checked: Duration,
    /// What is not known of the guests' clock, at most.
    pub clock: Duration,
}

impl CoherenceReport {
    /// All operations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.operations.values().sum()
    }
}

impl Coherence {
    /// The daemon on this machine with two FUSE mounts here and two NFS mounts in User Mode Linux.
    #[must_use]
    pub fn plexus(seed: u64, operations: u64) -> Coherence {
        Coherence {
            seed,
            operations,
            faults: false,
            power_cuts: false,
            at_fuse: 1,
            at_nfs: 2,
            generation: 2000,
            guest: Some(Guest::uml()),
            minor: 2,
            options: DaemonOptions {
                flags: vec!["--drive-size".to_owned(), "4G".to_owned()],
                configuration: "nfs.lease = 10\nnfs.grace = 10".to_owned(),
                ..DaemonOptions::default()
            },
            kept: None,
        }
    }

    /// Checks once more what a former run has kept in `folder`.
    ///
    /// # Errors
    /// See [`CoherenceError`].
    pub fn weigh(folder: &Path) -> Result<CoherenceReport, CoherenceError> {
        let weighed = evidence::Evidence::kept(folder)?.weigh(folder)?;
        let (operations, unknown, undecided) = (weighed.operations, weighed.unknown, weighed.undecided);
        let (clock, checked) = (weighed.clock, weighed.took);
        Ok(CoherenceReport { operations, unknown, undecided, clock, checked, ..CoherenceReport::default() })
    }

    /// Has all workers work, and checks what they have seen.
    ///
    /// # Errors
    /// See [`CoherenceError`].
    pub fn run(&self) -> Result<CoherenceReport, CoherenceError> {
        run::run(self)
    }
}
