//! What background work has done since the start, and what is left of it.

use super::OnDrives;
use super::scrub::{ScrubReport, Scrubbed};
use crate::{Frontend, Shards, Stripes};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use types::FsError;

/// Counters of all background work.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) freed: AtomicU64,
    pub(crate) folded: AtomicU64,
    pub(crate) cleaned: AtomicU64,
    pub(crate) check: Mutex<Checks>,
    pub(crate) scrubbed: Mutex<Scrubbed>,
}

/// What counting again has found since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Checks {
    /// Passes over everything.
    pub passes: u64,
    /// Accounts that were wrong, in all of them.
    pub differences: u64,
    /// What drives had beside and too little in the last one; `None` when they could not be asked.
    pub drives: Option<OnDrives>,
}

/// What files take; bytes on drives count headers, padding and parity, as if no drive were away.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Taken {
    /// Bytes on drives of stripes that files need.
    pub live: u64,
    /// Bytes of data in these stripes that no file needs.
    pub dead: u64,
    /// Bytes on drives of stripes that are to be freed.
    pub garbage: u64,
    /// Bytes of files that are kept with the metadata and are to be folded into stripes.
    pub unfolded: u64,
}

/// What background work has done since the start; bytes where nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Background {
    /// Bytes on drives of stripes that were freed.
    pub freed: u64,
    /// Bytes of files that were folded into stripes.
    pub folded: u64,
    /// Bytes moved out of stripes that few files needed still.
    pub cleaned: u64,
    /// What counting again has found.
    pub checks: Checks,
    /// What reading again has found.
    pub scrubbed: ScrubReport,
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// What files take, with every change that was acknowledged before.
    ///
    /// # Errors
    /// Those of reading the metadata.
    pub async fn taken(&self) -> Result<Taken, FsError> {
        self.with_ledger(|sums| {
            let total = &sums.total;
            Taken {
                live: total.stored,
                dead: total.data.saturating_sub(total.live),
                garbage: total.garbage_stored,
                unfolded: total.unfolded_bytes,
            }
        })
        .await
    }

    /// What background work has done.
    #[must_use]
    pub fn background(&self) -> Background {
        let progress = &self.0.progress;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let checks = *progress.check.lock();
        let scrubbed = progress.scrubbed.lock().report();
        Background {
            freed: get(&progress.freed),
            folded: get(&progress.folded),
            cleaned: get(&progress.cleaned),
            checks,
            scrubbed,
        }
    }
}
