//! Counting again: whether the accounts are right, and whether drives have what the map says they have, and no more.
//!
//! Slow on purpose. Each slot is counted in a view of its own, so that what is found wrong is wrong, whatever
//! goes on meanwhile. What drives have is compared stripe by stripe, and what is in doubt is looked at again.

use crate::look::read;
use crate::parts::{ListFrom, ListedStripe};
use crate::{Frontend, Inner, PlacedStripe, Shards, ShardsView, Stripes};
use map::OrderedMap;
use namespace::queries::accounts::{self, Recount};
use std::sync::Weak;
use std::time::Duration;
use tokio::time::Instant;
use types::{FsError, Slot};

/// The first pass, and the time between two.
const FIRST: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(3600);
/// The time between two tries to compare what drives have while one of them is away.
const AWAY: Duration = Duration::from_secs(60);
/// Records, slots or stripes of one step, and the pause after it.
const STEP: usize = 512;
const PAUSE: Duration = Duration::from_millis(20);
/// How long a view is held with pauses: it keeps from going away what it sees.
const HELD: Duration = Duration::from_secs(5);
/// Stripes in doubt at the same time.
const DOUBTS: usize = 1024;
/// How long a stripe may take from its first chunk to its commit.
const COMMITTED: Duration = Duration::from_secs(30);
/// Stripes of a listing that is only about one of them.
const FEW: usize = 32;

/// What a pass found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Check {
    /// Accounts of filesystems in slots that were wrong.
    pub differences: u64,
    /// What drives have; `None` when one of them could not be asked.
    pub drives: Option<OnDrives>,
}

/// What drives have beside what they should, and what they lack, in bytes with headers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OnDrives {
    /// Chunks that no map knows in their place.
    pub orphan: u64,
    /// Chunks that stripes with live pieces should have, of stripes that have any.
    pub missing: u64,
}

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>) {
    let mut wait = FIRST;
    loop {
        tokio::time::sleep(wait).await;
        wait = PERIOD;
        let begun = Instant::now();
        match pass(&weak, PAUSE).await {
            Ok(Some(check)) => {
                let Some(inner) = weak.upgrade() else { return };
                tracing::info!(?check, "counted again");
                let mut last = inner.progress.check.lock();
                last.passes += 1;
                last.differences += check.differences;
                last.drives = check.drives;
                if check.drives.is_some() {
                    continue;
                }
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "not counted again; it is tried again"),
        }
        let end = begun + PERIOD;
        if compare_late(&weak, end).await.is_none() {
            return;
        }
        wait = end.saturating_duration_since(Instant::now());
    }
}

/// Compares as soon as all drives answer, if that is before `end`; `None` when the frontend is gone.
async fn compare_late<S: Shards, D: Stripes>(weak: &Weak<Inner<S, D>>, end: Instant) -> Option<()> {
    while Instant::now() < end {
        tokio::time::sleep(AWAY).await;
        match compare(weak, PAUSE).await {
            Ok(drives) => {
                weak.upgrade()?.progress.check.lock().drives = drives;
                break;
            }
            Err(error) => tracing::debug!(%error, "what drives have could not be compared yet"),
        }
    }
    Some(())
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Counts everything again now. It is also done without being asked, slowly.
    ///
    /// # Errors
    /// Those of reading the metadata.
    pub async fn check_accounts(&self) -> Result<Check, FsError> {
        let weak = std::sync::Arc::downgrade(&self.0);
        Ok(pass(&weak, Duration::ZERO).await?.unwrap_or_default())
    }

    /// Counts up to [`STEP`] records of what is being counted, or looks at as many slots.
    async fn recount_step(&self, at: &mut Counting<S::View>) -> Result<Option<u64>, FsError> {
        let mut left = STEP;
        loop {
            let Some((view, recount)) = &mut at.now else {
                let view = self.past_view();
                let Some(from) = at.next else { return Ok(Some(at.differences)) };
                let Some(slot) = read(&view, |map| accounts::used_slot(map, from)).await? else {
                    return Ok(Some(at.differences));
                };
                at.next = slot.0.checked_add(1).map(Slot);
                at.now = Some((view, Recount::new(slot)));
                at.since = Instant::now();
                continue;
            };
            let step = |map: &dyn OrderedMap| {
                let mut next = recount.clone();
                let found = next.step(map, STEP)?;
                Ok((next, found))
            };
            let (next, found) = read(view, step).await?;
            *recount = next;
            view.forget();
            let Some(found) = found else { return Ok(None) };
            for difference in found {
                tracing::error!(?difference, "an account is wrong");
                at.differences += 1;
            }
            // Also where a command took effect that nobody heard of.
            self.0.ledger.mark(&[recount.slot()]);
            at.now = None;
            left -= 1;
            if left == 0 {
                return Ok(None);
            }
        }
    }

    async fn classify(&self, view: &S::View, listed: &ListedStripe) -> Result<OnDrives, FsError> {
        let known = read(view, |map| accounts::find_stripe(map, listed.place.stripe)).await?;
        let known =
            known.filter(|known| PlacedStripe::of(listed.place.stripe, &known.record) == listed.place);
        let (present, strays) = (u64::from(listed.present.count_ones()), u64::from(listed.strays));
        let chunk = listed.place.chunk_stored_bytes();
        Ok(match known {
            Some(known) => {
                let lacks = listed.place.width().saturating_sub(present) * u64::from(known.live);
                OnDrives { orphan: strays * chunk, missing: lacks * chunk }
            }
            None => OnDrives { orphan: (present + strays) * chunk, missing: 0 },
        })
    }
}

/// How far the counting of slots has come.
struct Counting<V> {
    now: Option<(V, Recount)>,
    /// When the view was taken.
    since: Instant,
    next: Option<Slot>,
    differences: u64,
}

/// One pass over everything; `None` when the frontend is gone.
async fn pass<S: Shards, D: Stripes>(
    weak: &Weak<Inner<S, D>>,
    pause: Duration,
) -> Result<Option<Check>, FsError> {
    let mut counting = Counting { now: None, since: Instant::now(), next: Some(Slot(0)), differences: 0 };
    let differences = loop {
        let Some(inner) = weak.upgrade() else { return Ok(None) };
        if let Some(differences) = Frontend(inner).recount_step(&mut counting).await? {
            break differences;
        }
        match counting.since.elapsed() < HELD {
            true => tokio::time::sleep(pause).await,
            false => tokio::task::yield_now().await,
        }
    };
    let drives = match compare(weak, pause).await {
        Ok(Some(drives)) => Some(drives),
        Ok(None) => return Ok(None),
        Err(error) => {
            tracing::info!(%error, "what drives have could not be compared");
            None
        }
    };
    Ok(Some(Check { differences, drives }))
}

/// Goes through what drives have.
async fn compare<S: Shards, D: Stripes>(
    weak: &Weak<Inner<S, D>>,
    pause: Duration,
) -> Result<Option<OnDrives>, String> {
    let (mut sum, mut doubts, mut from) = (OnDrives::default(), Vec::new(), None);
    loop {
        let Some(inner) = weak.upgrade() else { return Ok(None) };
        let this = Frontend(inner);
        let page = this.0.stripes.list(from, STEP).await.map_err(|error| error.to_string())?;
        // Taken after the listing, so that what is committed is in it.
        let view = this.past_view();
        for listed in page.stripes {
            if this.classify(&view, &listed).await.map_err(|e| e.to_string())? != OnDrives::default() {
                doubts.push(listed.place);
            }
        }
        drop((view, this));
        from = page.next;
        if doubts.len() >= DOUBTS || (from.is_none() && !doubts.is_empty()) {
            tokio::time::sleep(COMMITTED).await;
            let mut orphans = Orphans::default();
            for place in doubts.drain(..) {
                let Some(inner) = weak.upgrade() else { return Ok(None) };
                let certain = look_again(&Frontend(inner), &place, &mut orphans).await?;
                sum =
                    OnDrives { orphan: sum.orphan + certain.orphan, missing: sum.missing + certain.missing };
            }
            let Some(inner) = weak.upgrade() else { return Ok(None) };
            let freed = Frontend(inner).free_orphans(&orphans.unknown, &orphans.elsewhere).await;
            freed.map_err(|error| error.to_string())?;
        }
        if from.is_none() {
            return Ok(Some(sum));
        }
        tokio::time::sleep(pause).await;
    }
}

/// What drives have and should not.
#[derive(Default)]
struct Orphans {
    /// Of stripes that no map knows.
    unknown: Vec<PlacedStripe>,
    /// Of stripes that are in another group: those of one group have the same names wherever they are.
    elsewhere: Vec<PlacedStripe>,
}

/// What is wrong with a stripe still; what may be freed is noted.
async fn look_again<S: Shards, D: Stripes>(
    this: &Frontend<S, D>,
    place: &PlacedStripe,
    orphans: &mut Orphans,
) -> Result<OnDrives, String> {
    let from = ListFrom { group: place.group, stripe: place.stripe };
    let page = this.0.stripes.list(Some(from), FEW).await.map_err(|error| error.to_string())?;
    let view = this.past_view();
    let listed = page.stripes.into_iter().find(|listed| listed.place == *place);
    let Some(listed) = listed else { return Ok(OnDrives::default()) };
    let known = read(&view, |map| accounts::find_stripe(map, place.stripe)).await;
    match known.map_err(|error| error.to_string())? {
        // A write of this frontend, which is slow.
        None if this.0.laying.has(place.stripe) => {}
        None => orphans.unknown.push(*place),
        Some(known) if known.record.group != place.group => orphans.elsewhere.push(*place),
        Some(_) => {}
    }
    this.classify(&view, &listed).await.map_err(|error| error.to_string())
}
