//! What goes on without being asked: write-back by age, drained intents, garbage, a former life's leftovers.

use crate::look::answer;
use crate::nodes::{Held, Node, State};
use crate::{Frontend, Inner, PlacedStripe, Shards, Stripes};
use namespace::queries::{inode, pending};
use namespace::{Action, Reply};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use types::{Cred, FileId, FsError, InodeId, ShardId, StripeId};

/// Work that may wait its turn; what does not fit is found again by the next full look.
pub(crate) const QUEUE: usize = 4096;
/// Files worked on at the same time.
const AT_ONCE: usize = 8;
/// Time between two looks for garbage. What one look finds is freed by the next, when readers that saw the
/// old extents are done.
const GARBAGE_PERIOD: Duration = Duration::from_secs(2);
/// Stripes freed in one look.
const GARBAGE_AT_ONCE: usize = 512;
/// Looks for garbage that somebody's work announced, between looks that are made anyway.
const QUIET_LOOKS: u32 = 30;

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
    leftovers(frontend).await?;
    let weak = Arc::downgrade(&frontend.0);
    tokio::spawn(work(weak.clone(), receiver));
    tokio::spawn(age(weak.clone(), frontend.0.options.dirty_age));
    tokio::spawn(garbage(weak));
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
        let (mut orphans, mut intents) = (Vec::new(), Vec::new());
        {
            let view = self.past_view();
            for fs in answer(inode::filesystems(&view))? {
                if !self.0.in_orphan_grace.load(Ordering::Relaxed) {
                    orphans.extend(answer(pending::orphans(&view, fs.id))?);
                }
                intents.extend(answer(pending::intents(&view, fs.id))?);
            }
        }
        for file in orphans {
            let node = self.0.nodes.get(file);
            let _still = node.gate.write().await;
            // With the gate held, nobody is between having taken the last name and knowing of it.
            node.state.lock().orphan = true;
            self.drop_orphan_held(&node).await;
        }
        for file in intents {
            self.drain(file).await?;
        }
        Ok(())
    }
}

/// What a former life left: orphans, intents, stripes that nobody committed.
async fn leftovers<S: Shards, D: Stripes>(frontend: &Frontend<S, D>) -> Result<(), FsError> {
    // Nothing has been granted in this life yet: what is listed and unknown was never committed, and
    // cannot be any more.
    let listed = frontend.0.stripes.list().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "no search for stripes that were never committed: they stay until the next start");
        Vec::new()
    });
    // A stripe that is known stays known until a command of its own shard forgets it.
    let view = frontend.past_view();
    let filesystems = answer(inode::filesystems(&view))?;
    let mut orphans = Vec::new();
    for fs in &filesystems {
        for file in answer(pending::orphans(&view, fs.id))? {
            frontend.0.nodes.get(file).state.lock().orphan = true;
            orphans.push(file);
        }
        for file in answer(pending::intents(&view, fs.id))? {
            frontend.later(Work::Drain(file));
        }
    }
    let mut unknown = Vec::new();
    for place in listed {
        let mut known = false;
        for fs in &filesystems {
            known = known || answer(pending::knows_stripe(&view, fs.id, place.stripe))?;
        }
        if !known {
            unknown.push(place);
        }
    }
    drop(view);
    let this = frontend.clone();
    tokio::spawn(async move {
        for place in unknown {
            tracing::info!(stripe = place.stripe.0, "freeing a stripe that was never committed");
            if let Err(error) = this.0.stripes.free(place).await {
                tracing::warn!(%error, "stripe not freed");
            }
        }
    });
    let weak = Arc::downgrade(&frontend.0);
    let grace = frontend.0.options.orphan_grace;
    tokio::spawn(async move {
        tokio::time::sleep(grace).await;
        let Some(inner) = weak.upgrade() else { return };
        let this = Frontend(inner);
        this.0.in_orphan_grace.store(false, Ordering::Relaxed);
        for file in orphans {
            let node = this.0.nodes.get(file);
            this.drop_orphan(&node).await;
        }
    });
    Ok(())
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

async fn garbage<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>) {
    let mut ticks = tokio::time::interval(GARBAGE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen: HashMap<StripeId, (types::FsId, PlacedStripe)> = HashMap::new();
    let mut quiet = QUIET_LOOKS;
    loop {
        ticks.tick().await;
        let Some(inner) = weak.upgrade() else { return };
        let this = Frontend(inner);
        if this.0.missed.swap(false, Ordering::Relaxed)
            && let Err(error) = this.find_missed().await
        {
            tracing::warn!(%error, "work is left; it is looked for again");
            this.0.missed.store(true, Ordering::Relaxed);
        }
        quiet += 1;
        if seen.is_empty() && quiet < QUIET_LOOKS && !this.0.garbage_made.swap(false, Ordering::Relaxed) {
            continue;
        }
        quiet = 0;
        if let Err(error) = this.free_garbage(&mut seen).await {
            // Fails closed: what could not be listed or freed stays.
            tracing::warn!(%error, "garbage not freed");
        }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    async fn free_garbage(
        &self,
        seen: &mut HashMap<StripeId, (types::FsId, PlacedStripe)>,
    ) -> Result<(), FsError> {
        // A command each for what one shard has.
        let mut freed: HashMap<(types::FsId, ShardId), Vec<StripeId>> = HashMap::new();
        for (stripe, (fs, place)) in seen.drain() {
            let shard = self.0.shards.shard_of(InodeId(stripe.0).slot());
            match self.0.stripes.free(place).await {
                Ok(()) => freed.entry((fs, shard)).or_default().push(stripe),
                Err(error) => tracing::warn!(%error, "stripe not freed"),
            }
        }
        for ((fs, _), stripes) in freed {
            self.propose_as(Cred::root(), fs, Action::ForgetStripes { stripes }).await?;
        }
        let view = self.past_view();
        for fs in answer(inode::filesystems(&view))? {
            for (stripe, record) in answer(pending::garbage(&view, fs.id, GARBAGE_AT_ONCE))? {
                seen.insert(stripe, (fs.id, PlacedStripe::of(stripe, &record)));
            }
        }
        Ok(())
    }
}

impl PlacedStripe {
    /// A stripe as its record describes it.
    pub(crate) fn of(stripe: StripeId, record: &namespace::records::Stripe) -> PlacedStripe {
        let &namespace::records::Stripe { group, data_chunks, parity_chunks, cells, length, .. } = record;
        PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length }
    }
}
