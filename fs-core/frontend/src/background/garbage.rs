//! Freeing stripes that no file needs any more.
//!
//! What one look finds is freed by the next, when readers that saw the old extents are done. A look takes more
//! where more waits.

use crate::look::read;
use crate::{Frontend, Inner, PlacedStripe, Shards, Stripes};
use namespace::Action;
use namespace::queries::pending::{self, StripeAt};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use types::{Cred, FsError, FsId, InodeId, Slot, StripeId};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(2);
/// Stripes of one look, at least and at most, and the part of what waits that it takes.
const LOOK_MIN: u64 = 512;
const LOOK_MAX: u64 = 16_384;
const LOOK_PART: u64 = 4;
/// Stripes freed at once.
const FREE_AT_ONCE: usize = 256;
/// Stripes of one command; a machine accepts somewhat more.
const FORGET_AT_ONCE: usize = 256;
/// Doublings of the time between two looks while nothing can be freed.
const REST_MAX: u32 = 4;
/// Commands on their way at the same time.
const COMMANDS: usize = 8;

/// A stripe that was garbage at the last look.
struct Found {
    at: StripeAt,
    place: PlacedStripe,
    /// Bytes on drives.
    stored: u64,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Looks {
    found: Vec<Found>,
    /// The last one that was found: the next look goes on behind it, so that none that cannot be freed stands
    /// in the way of others.
    last: Option<StripeAt>,
    /// Looks since the last that could free anything, while there was something to free.
    vain: u32,
    /// Looks to leave out.
    rest: u32,
}

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Looks::default();
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
        if looks.rest > 0 {
            looks.rest -= 1;
            continue;
        }
        if let Err(error) = this.free_garbage(&mut looks).await {
            // Fails closed: what could not be listed or freed stays.
            tracing::warn!(%error, "garbage not freed");
        }
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    async fn free_garbage(&self, looks: &mut Looks) -> Result<(), FsError> {
        let mut freed: BTreeMap<(FsId, Slot), Vec<StripeId>> = BTreeMap::new();
        let (mut failed, mut why) = (0u64, None);
        for batch in std::mem::take(&mut looks.found).chunks(FREE_AT_ONCE) {
            let places: Vec<PlacedStripe> = batch.iter().map(|found| found.place).collect();
            let results = self.0.stripes.free(&places).await;
            for (found, result) in batch.iter().zip(results) {
                let StripeAt { fs, stripe } = found.at;
                match result {
                    Ok(()) => {
                        self.0.progress.freed.fetch_add(found.stored, Ordering::Relaxed);
                        freed.entry((fs, InodeId(stripe.0).slot())).or_default().push(stripe);
                    }
                    Err(error) => {
                        failed += 1;
                        why.get_or_insert(error);
                    }
                }
            }
        }
        if let Some(error) = why {
            tracing::warn!(stripes = failed, %error, "stripes not freed; it is tried again");
        }
        looks.vain = if failed > 0 && freed.is_empty() { (looks.vain + 1).min(REST_MAX) } else { 0 };
        looks.rest = (1 << looks.vain) - 1;
        self.forget(freed).await?;
        self.look_for_garbage(looks).await
    }

    /// The chunks of these are gone.
    async fn forget(&self, freed: BTreeMap<(FsId, Slot), Vec<StripeId>>) -> Result<(), FsError> {
        let mut commands = JoinSet::new();
        let mut result = Ok(());
        let mut batches = Vec::new();
        for ((fs, _), stripes) in freed {
            batches.extend(stripes.chunks(FORGET_AT_ONCE).map(|part| (fs, part.to_vec())));
        }
        for (fs, stripes) in batches {
            if commands.len() >= COMMANDS {
                result = super::ended(commands.join_next().await).and(result);
            }
            let (this, action) = (self.clone(), Action::ForgetStripes { stripes });
            commands.spawn(async move { this.propose_as(Cred::root(), fs, action).await.map(drop) });
        }
        while let Some(one) = commands.join_next().await {
            result = super::ended(Some(one)).and(result);
        }
        result
    }

    async fn look_for_garbage(&self, looks: &mut Looks) -> Result<(), FsError> {
        let found = self.with_ledger(|sums| {
            let with = sums.slots.iter().filter(|(_, account)| account.garbage > 0).map(|(slot, _)| *slot);
            (sums.total.garbage, with.collect::<Vec<_>>())
        });
        let (waiting, slots) = found.await?;
        let most = usize::try_from((waiting / LOOK_PART).clamp(LOOK_MIN, LOOK_MAX)).unwrap_or(usize::MAX);
        self.look_from(looks, &slots, most).await?;
        if looks.found.is_empty() && looks.last.take().is_some() {
            self.look_from(looks, &slots, most).await?;
        }
        Ok(())
    }

    /// Finds up to `most` behind the last, and remembers where it stopped; nowhere at the end.
    async fn look_from(&self, looks: &mut Looks, slots: &[Slot], most: usize) -> Result<(), FsError> {
        let view = self.past_view();
        let slot_of = |at: &StripeAt| InodeId(at.stripe.0).slot();
        let last = looks.last;
        for &slot in slots.iter().filter(|slot| last.is_none_or(|last| **slot >= slot_of(&last))) {
            let after = last.filter(|last| slot_of(last) == slot);
            let left = most - looks.found.len();
            for (at, record) in read(&view, |map| pending::garbage(map, slot, after, left)).await? {
                let (place, stored) = (PlacedStripe::of(at.stripe, &record), record.stored_bytes());
                looks.found.push(Found { at, place, stored });
            }
            if looks.found.len() >= most {
                looks.last = looks.found.last().map(|found| found.at);
                return Ok(());
            }
        }
        looks.last = None;
        Ok(())
    }
}
