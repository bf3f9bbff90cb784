//! What goes on without being asked: write-back by age, drained intents, a former life's leftovers, garbage,
//! folding, cleaning, counting again and freeing what nobody knows, scrubbing, removing filesystems.

mod cleaning;
mod folding;
mod garbage;
mod leftovers;
mod orphans;
mod progress;
mod recount;
mod removing;
mod scrub;

pub(crate) use progress::Progress;
pub use progress::{Background, Checks, Taken};
pub use recount::{Check, OnDrives};
pub use scrub::ScrubReport;

use crate::look::read;
use crate::nodes::{Held, Node, State};
use crate::{Frontend, Inner, PlacedStripe, Shards, Stripes};
use crate::{forgetting, grace};
use namespace::queries::{inode, pending};
use namespace::{Action, NewStripe, Reply};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use types::limits::BLOCK_BYTES;
use types::{Cred, FileId, FsError, StripeId};

/// Work that may wait its turn; what does not fit is found again by the next full look.
pub(crate) const QUEUE: usize = 4096;
/// Files worked on at the same time.
const AT_ONCE: usize = 8;

/// Doublings of the patience with a file whose write-back fails.
const BACK_OFF_MAX: u32 = 6;

/// Something to do soon.
pub(crate) enum Work {
    /// Write back.
    Flush(Held),
    /// Go on with an intent.
    Drain(FileId),
}

/// Starts the tasks; they end with the frontend.
pub(crate) async fn start<S: Shards, D: Stripes>(
    frontend: &Frontend<S, D>,
    receiver: mpsc::Receiver<Work>,
) -> Result<(), FsError> {
    leftovers::take_over(frontend).await?;
    let (weak, options) = (Arc::downgrade(&frontend.0), &frontend.0.options);
    tokio::spawn(work(weak.clone(), receiver));
    tokio::spawn(age(weak.clone(), options.dirty_age));
    tokio::spawn(garbage::run(weak.clone()));
    tokio::spawn(folding::run(weak.clone(), options.fold_age));
    tokio::spawn(cleaning::run(weak.clone(), options.clean_period));
    tokio::spawn(recount::run(weak.clone()));
    tokio::spawn(removing::run(weak.clone()));
    tokio::spawn(scrub::run(weak.clone(), options.scrub_period));
    tokio::spawn(forgetting::run(weak.clone(), frontend.0.forgetting.clone()));
    tokio::spawn(grace::run(weak, frontend.0.clients.clone(), options.grace));
    Ok(())
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Puts work into the queue; when it is full, a later look finds the work again.
    pub(crate) fn later(&self, work: Work) {
        if let Err(full) = self.0.work.try_send(work) {
            tracing::debug!("background queue is full");
            match full.into_inner() {
                Work::Flush(node) => node.state.lock().queued = false,
                Work::Drain(_) => self.0.missed.store(true, Ordering::Relaxed),
            }
        }
    }

    /// The inode has lost its last open; another may have come since.
    pub(crate) async fn drop_orphan(&self, node: &Held) {
        let _still = node.gate.write().await;
        self.drop_orphan_held(node).await;
    }

    /// As [`Self::drop_orphan`], for who holds the gate.
    pub(crate) async fn drop_orphan_held(&self, node: &Node) {
        // It is found at the end of the time of grace.
        if self.0.clients.keep_orphans() {
            return;
        }
        {
            let mut state = node.state.lock();
            if !state.orphan || state.opens > 0 {
                return;
            }
            state.orphan = false;
        }
        self.discard(node);
        let file = node.file;
        self.0.locks.forget(file);
        if self.0.removals.of(file.fs).is_some() {
            // It goes with its filesystem; where that stays after all, it is found again.
            self.0.missed.store(true, Ordering::Relaxed);
            return;
        }
        match self.propose_as(Cred::root(), file.fs, Action::DropOrphan { ino: file.ino }).await {
            Ok(Reply::Drained { more: true }) => self.later(Work::Drain(file)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%file, %error, "an orphan is left; it is looked for again");
                self.0.missed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Looks for work that did not fit the queue or failed.
    async fn find_missed(&self) -> Result<(), FsError> {
        self.drop_unclaimed().await?;
        let mut intents = Vec::new();
        self.0.shards.settled().await;
        {
            let view = self.past_view();
            for fs in read(&view, inode::filesystems).await? {
                intents.extend(read(&view, |map| pending::intents(map, fs.id)).await?);
            }
        }
        for file in intents {
            self.drain(file).await?;
        }
        Ok(())
    }
}

async fn work<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, mut receiver: mpsc::Receiver<Work>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(work) = receiver.recv().await {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Some(inner) = weak.upgrade() else { return };
        let this = Frontend(inner);
        tokio::spawn(async move {
            let _ = match work {
                // Its error is logged there; the data wait on.
                Work::Flush(node) => this.flush(&node).await,
                Work::Drain(file) => this.drain(file).await.inspect_err(|error| {
                    tracing::warn!(%file, %error, "work is left; it is looked for again");
                    this.0.missed.store(true, Ordering::Relaxed);
                }),
            };
            drop(permit);
        });
    }
}

async fn age<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, limit: Duration) {
    let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = weak.upgrade() else { return };
        let now = inner.clock.monotonic();
        let this = Frontend(inner);
        let old = |state: &State| {
            let patience = limit * (1 << state.failures.min(BACK_OFF_MAX));
            !state.queued && state.dirty_since.is_some_and(|since| now.saturating_sub(since) >= patience)
        };
        for node in this.0.nodes.chosen(old) {
            node.state.lock().queued = true;
            this.later(Work::Flush(node));
        }
    }
}

/// What became of a task.
fn ended(task: Option<Result<Result<(), FsError>, tokio::task::JoinError>>) -> Result<(), FsError> {
    match task {
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(FsError::Io),
        None => Ok(()),
    }
}

impl PlacedStripe {
    /// A stripe as its record describes it.
    pub(crate) fn of(stripe: StripeId, record: &namespace::records::Stripe) -> PlacedStripe {
        let &namespace::records::Stripe { group, data_chunks, parity_chunks, cells, length, .. } = record;
        PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length }
    }

    /// A stripe that a command brings.
    pub(crate) fn of_new(new: &NewStripe) -> PlacedStripe {
        let &NewStripe { stripe, group, data_chunks, parity_chunks, cells, length } = new;
        PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length }
    }

    /// As a command brings it.
    pub(crate) fn as_new(&self) -> NewStripe {
        let &PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length } = self;
        NewStripe { stripe, group, data_chunks, parity_chunks, cells, length }
    }

    /// Number of its chunks.
    pub(crate) fn width(&self) -> u64 {
        u64::from(self.data_chunks) + u64::from(self.parity_chunks)
    }

    /// Bytes that each of its chunks takes on its drive: a header block, and the data filled up to blocks.
    pub(crate) fn chunk_stored_bytes(&self) -> u64 {
        let block = BLOCK_BYTES as u64;
        (u64::from(self.length).div_ceil(u64::from(self.data_chunks.max(1)) * block) + 1) * block
    }
}
