//! Scrubbing: every chunk of every stripe is read again within a period, and what is damaged or missing is made good.
//!
//! It goes by the map and not by what drives list, so that a chunk that a drive has lost, or never wrote, is missed.
//! How far it has come is noted with each slot: a restart goes on there.

use crate::look::read;
use crate::{Frontend, Inner, PlacedStripe, Shards, StripeError, Stripes};
use namespace::Action;
use namespace::queries::accounts;
use namespace::queries::pending::{self, StripeAt};
use namespace::records::{Scrub, ScrubAt};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;
use types::{Cred, FsError, FsId, InodeId, Slot, StripeId, Time};

/// Bytes of chunks read in a second, at least.
const RATE_MIN: u64 = 256 << 10;
/// Time before the first look.
const FIRST: Duration = Duration::from_secs(60);
/// The longest time between two looks.
const LOOK_MAX: Duration = Duration::from_secs(3600);
/// The part of the period after which a slot is read again of which not everything could be read, and how often that
/// doubles.
const AGAIN_PART: u32 = 16;
const AGAIN_MAX: u32 = 3;
/// Stripes looked up in one step.
const PAGE: usize = 64;
/// How seldom it is noted how far a slot has been read.
const NOTE_MAX: Duration = Duration::from_secs(60);

/// What scrubbing has done since the start, and what it has found.
#[derive(Default)]
pub(crate) struct Scrubbed {
    bytes: u64,
    /// Bytes of chunks to be read in the slots whose turn it is.
    left: u64,
    /// Stripes of each slot that could not be read when they were looked at last.
    lost: BTreeMap<Slot, u64>,
    /// Slots of which not everything could be read, and when their turn comes again.
    again: BTreeMap<Slot, Again>,
    /// Of the slot that was read the longest time ago; `None` while one has never been.
    whole: Option<Time>,
}

/// When something is tried again.
#[derive(Clone, Copy, Default)]
struct Again {
    /// On the monotonic clock.
    at: Duration,
    times: u32,
}

/// A look at everything.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ScrubReport {
    /// Bytes of chunks read since the start.
    pub bytes: u64,
    /// Bytes of chunks whose turn it is and that have not been read yet.
    pub left: u64,
    /// Stripes with too few chunks left, when they were looked at last.
    pub lost: u64,
    /// Everything that was written before has been read since; `None` while something never was.
    pub whole: Option<Time>,
}

impl Scrubbed {
    pub(crate) fn report(&self) -> ScrubReport {
        let &Scrubbed { bytes, left, ref lost, whole, .. } = self;
        ScrubReport { bytes, left, lost: lost.values().sum(), whole }
    }
}

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, period: Duration) {
    if period.is_zero() {
        return;
    }
    tokio::time::sleep(FIRST.min(period / 8)).await;
    loop {
        match pass(&weak, period / 2, NOTE_MAX.min(period / 64)).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!(%error, "scrubbing is interrupted; it goes on later"),
        }
        tokio::time::sleep((period / 16).min(LOOK_MAX)).await;
    }
}

/// Reads all slots that have not been read for `age`, in about as long; false when the frontend is gone. The other
/// half of the period is for times in which nobody reads. At most what was read in the time `note` is read again
/// after a crash.
async fn pass<S: Shards, D: Stripes>(
    weak: &Weak<Inner<S, D>>,
    age: Duration,
    note: Duration,
) -> Result<bool, FsError> {
    let Some(inner) = weak.upgrade() else { return Ok(false) };
    let (due, rate) = Frontend(inner).scrub_due(age).await?;
    for (slot, at) in due {
        let Some(inner) = weak.upgrade() else { return Ok(false) };
        let mut at = Frontend(inner).begin_slot(slot, at);
        loop {
            let Some(inner) = weak.upgrade() else { return Ok(false) };
            let this = Frontend(inner);
            let page = this.past(|map| pending::live_in(map, slot, at.after, PAGE)).await?;
            if page.is_empty() {
                this.end_slot(at).await?;
                break;
            }
            drop(this);
            for (place, record) in page {
                let Some(inner) = weak.upgrade() else { return Ok(false) };
                let this = Frontend(inner);
                let begin = this.0.clock.monotonic();
                this.scrub_stripe(place.fs, PlacedStripe::of(place.stripe, &record), &mut at).await;
                at.after = Some(place);
                let took = this.0.clock.monotonic().saturating_sub(begin);
                this.note_slot(&mut at, note).await?;
                drop(this);
                let share = Duration::from_secs_f64(record.stored_bytes() as f64 / rate);
                tokio::time::sleep(share.saturating_sub(took).max(took)).await;
            }
        }
    }
    Ok(true)
}

/// How far a slot has been read.
struct Reading {
    slot: Slot,
    begun: Time,
    /// When an earlier pass began that came to its end.
    whole: Option<Time>,
    after: Option<StripeAt>,
    /// Stripes that could not be read, and those that could not be looked at, or not at all of their chunks.
    lost: u64,
    failed: u64,
    away: u64,
    /// When it was noted last, on the monotonic clock.
    noted: Duration,
}

impl Reading {
    fn failed(&mut self, stripe: StripeId, error: &dyn std::error::Error) {
        tracing::warn!(stripe = stripe.0, %error, "a stripe could not be scrubbed");
        self.failed += 1;
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Reads everything again now. It is also done without being asked, slowly.
    ///
    /// # Errors
    /// Those of reading and changing the metadata.
    pub async fn scrub(&self) -> Result<(), FsError> {
        pass(&std::sync::Arc::downgrade(&self.0), Duration::ZERO, NOTE_MAX).await.map(drop)
    }

    /// The slots whose turn it is, those first that were read the longest time ago, and the bytes to read in a second.
    async fn scrub_due(&self, age: Duration) -> Result<(Vec<(Slot, Scrub)>, f64), FsError> {
        let (now, monotonic) = (self.0.clock.now(), self.0.clock.monotonic());
        let again = self.0.progress.scrubbed.lock().again.clone();
        let found = self.with_ledger(|sums| {
            let with = sums.slots.iter().filter(|(_, account)| account.stripes > 0);
            (with.map(|(slot, account)| (*slot, account.stored)).collect::<Vec<_>>(), sums.total.stored)
        });
        let (slots, total) = found.await?;
        let (mut due, mut left, mut oldest) = (Vec::new(), 0, Some(now));
        {
            let view = self.past_view();
            for &(slot, stored) in &slots {
                let at = read(&view, |map| pending::scrub(map, slot)).await?;
                oldest = oldest.min(at.whole);
                // A clock that has been set back must not keep anything from being read.
                let fresh = at.whole.is_some_and(|whole| whole <= now && now < after(whole, age));
                let put_off = !age.is_zero() && again.get(&slot).is_some_and(|again| monotonic < again.at);
                if !fresh && !put_off {
                    left += stored;
                    due.push((slot, at));
                }
            }
        }
        due.sort_by_key(|(_, at)| (at.now.is_none(), at.whole));
        let mut scrubbed = self.0.progress.scrubbed.lock();
        (scrubbed.left, scrubbed.whole) = (left, oldest);
        // Where no stripe is left, none is lost; in order of slots, as the accounts are.
        scrubbed.again.retain(|slot, _| slots.binary_search_by_key(slot, |(with, _)| *with).is_ok());
        scrubbed.lost.retain(|slot, _| slots.binary_search_by_key(slot, |(with, _)| *with).is_ok());
        let seconds = age.as_secs_f64();
        let rate = if seconds > 0.0 { (total as f64 / seconds).max(RATE_MIN as f64) } else { f64::INFINITY };
        Ok((due, rate))
    }

    fn begin_slot(&self, slot: Slot, at: Scrub) -> Reading {
        let (now, noted) = (self.0.clock.now(), self.0.clock.monotonic());
        let begun = at.now.map_or(now, |at| at.begun);
        let after = at.now.map(|at| StripeAt { fs: at.fs, stripe: at.stripe });
        Reading { slot, begun, whole: at.whole, after, lost: 0, failed: 0, away: 0, noted }
    }

    async fn scrub_stripe(&self, fs: FsId, place: PlacedStripe, at: &mut Reading) {
        // It may be long since the page was read, and what was freed meanwhile is no damage. What is live now is not
        // freed before it has been garbage for a while.
        let result = match self.lives(fs, place.stripe).await {
            Ok(true) => self.0.stripes.verify(place).await,
            Ok(false) => Err(StripeError::Gone(place.stripe)),
            Err(error) => return at.failed(place.stripe, &error),
        };
        let bytes = place.chunk_stored_bytes() * place.width();
        {
            let mut scrubbed = self.0.progress.scrubbed.lock();
            scrubbed.bytes += bytes;
            scrubbed.left = scrubbed.left.saturating_sub(bytes);
        }
        at.away += result.as_ref().map_or(0, |verified| u64::from(verified.away > 0));
        match result {
            // Where the stripe was freed meanwhile, the search for orphans frees what was made again: it asks the shard.
            Ok(verified) if verified.repaired > 0 => tracing::warn!(
                stripe = place.stripe.0,
                chunks = verified.repaired,
                "scrubbing found damage and made it good"
            ),
            Ok(_) => {}
            Err(StripeError::Gone(_)) => match self.lives(fs, place.stripe).await {
                Ok(true) => {
                    tracing::error!(
                        stripe = place.stripe.0,
                        fs = fs.0,
                        "too few chunks of a stripe are left: data are lost"
                    );
                    at.lost += 1;
                    let lost = at.lost;
                    let mut scrubbed = self.0.progress.scrubbed.lock();
                    let known = scrubbed.lost.entry(at.slot);
                    known.and_modify(|known| *known = lost.max(*known)).or_insert(lost);
                }
                Ok(false) => {}
                Err(error) => at.failed(place.stripe, &error),
            },
            Err(error) => at.failed(place.stripe, &error),
        }
    }

    /// Whether files need a stripe; one that they do not need, they never will again.
    async fn lives(&self, fs: FsId, stripe: StripeId) -> Result<bool, FsError> {
        let known = self.past(|map| accounts::find_stripe(map, stripe)).await?;
        Ok(known.is_some_and(|known| known.live) && self.0.removals.of(fs).is_none())
    }

    /// Frees chunks that nobody needs; what cannot be freed is found by the search for orphans.
    pub(crate) async fn free_unneeded(&self, places: &[PlacedStripe]) {
        for result in self.0.stripes.free(places).await {
            if let Err(error) = result {
                tracing::warn!(%error, "a stripe that nobody needs is left to the search for orphans");
            }
        }
    }

    async fn note_slot(&self, at: &mut Reading, every: Duration) -> Result<(), FsError> {
        let now = self.0.clock.monotonic();
        let Some(last) = at.after.filter(|_| now.saturating_sub(at.noted) >= every) else { return Ok(()) };
        at.noted = now;
        let under_way = ScrubAt { begun: at.begun, fs: last.fs, stripe: last.stripe };
        self.note(at.slot, Scrub { whole: at.whole, now: Some(under_way) }).await
    }

    async fn end_slot(&self, at: Reading) -> Result<(), FsError> {
        {
            let mut scrubbed = self.0.progress.scrubbed.lock();
            if at.lost > 0 {
                scrubbed.lost.insert(at.slot, at.lost)
            } else {
                scrubbed.lost.remove(&at.slot)
            };
        }
        let whole = if at.failed + at.away == 0 { Some(at.begun) } else { at.whole };
        self.put_off(&at);
        self.note(at.slot, Scrub { whole, now: None }).await
    }

    /// A slot that was not read as a whole comes again soon, and then more and more seldom.
    fn put_off(&self, at: &Reading) {
        let mut scrubbed = self.0.progress.scrubbed.lock();
        if at.failed + at.away == 0 {
            scrubbed.again.remove(&at.slot);
            return;
        }
        if at.away > 0 {
            tracing::info!(
                slot = at.slot.0,
                stripes = at.away,
                "drives were away while a slot was scrubbed; it is read again"
            );
        }
        let Again { times, .. } = scrubbed.again.get(&at.slot).copied().unwrap_or_default();
        let pause = self.0.options.scrub_period / AGAIN_PART * (1 << times);
        let again = Again { at: self.0.clock.monotonic() + pause, times: (times + 1).min(AGAIN_MAX) };
        scrubbed.again.insert(at.slot, again);
    }

    async fn note(&self, slot: Slot, scrub: Scrub) -> Result<(), FsError> {
        let action = Action::NoteScrub { near: InodeId::new(slot, 0), scrub };
        self.propose_as(Cred::root(), FsId(0), action).await.map(drop)
    }
}

fn after(time: Time, age: Duration) -> Time {
    let nanoseconds = time.nanoseconds + age.subsec_nanos();
    let (carry, nanoseconds) = (i64::from(nanoseconds >= 1_000_000_000), nanoseconds % 1_000_000_000);
    let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    Time { seconds: time.seconds.saturating_add(seconds).saturating_add(carry), nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_while_after_is_later() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert_eq!(after(time(-1, 999_999_999), Duration::new(3, 1)), time(3, 0));
        assert_eq!(after(time(5, 7), Duration::new(0, 2)), time(5, 9));
    }
}
