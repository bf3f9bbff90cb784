//! Cleaning: what is needed still of stripes that are less than half needed goes into other stripes.
//!
//! It looks at slots in which much is dead, and goes by the extents there: of a piece, too, only some bytes may be
//! needed still. A stripe is freed as a whole, so one is left alone of which anything would have to stay. As with
//! folding, nobody waits for it: what is not any more as it was seen stays where it is.

use crate::promise::Taking;
use crate::{Frontend, Inner, PlacedStripe, Purpose, Room, Shards, StripeError, Stripes};
use bytes::BytesMut;
use namespace::queries::accounts;
use namespace::queries::pending::{self, StripeAt};
use namespace::queries::sparse::{Part, parts, references};
use namespace::records::{Account, Stripe};
use namespace::{Action, Move, Reply};
use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use types::{Cred, FileId, FsError, FsId, Slot, StripeId};

/// A slot is looked at when one part in so many of its data is dead, and again when it has changed by half of that.
const DEAD: u64 = 4;
/// Stripes counted together, in some 16 MiB of memory: each time, all extents of the slot are looked through.
const STRIPES: usize = 1 << 17;
/// Records in one step.
const LOOK: usize = 1024;
/// How often and how long it waits for space: garbage is freed within two of its looks.
const WAITS: u32 = 10;
const WAIT: Duration = Duration::from_millis(500);
/// Doublings of the time after which a slot is tried again that could not be cleaned.
const BACK_OFF_MAX: u32 = 6;

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = HashMap::new();
    loop {
        ticks.tick().await;
        let Some(inner) = weak.upgrade() else { return };
        if let Err(error) = Frontend(inner).clean_due(&mut looked, period).await {
            tracing::warn!(%error, "not cleaned; it is tried again");
        }
    }
}

/// What is remembered of a slot from one look to the next.
#[derive(Clone, Copy, Default)]
struct Looked {
    /// Bytes that were dead when all was done that could be done.
    dead: u64,
    /// How often it could not be cleaned since it was the last time.
    failures: u32,
    /// It is left alone until then, on the monotonic clock.
    until: Duration,
}

/// What is known of a stripe that may be cleaned.
struct Counted {
    record: Stripe,
    /// Bytes that files of its slot need.
    needed: u64,
    /// Extents of its slot that can be moved, and the longest of them.
    extents: u64,
    longest: u32,
}

impl Counted {
    fn count(&mut self, part: &Part) {
        self.needed += u64::from(part.length);
        self.extents += 1;
        self.longest = self.longest.max(part.length);
    }
}

/// What is to be moved of a slot, by the stripe that it leaves.
type Leaving = BTreeMap<StripeId, Counted>;

/// Bytes in stripes that no file needs, at least: those in no live piece, or those that files have less.
fn dead(account: &Account) -> u64 {
    let in_files = account.used.saturating_sub(account.unfolded_bytes);
    account.data.saturating_sub(account.live.min(in_files))
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Cleans every slot now. It is also done without being asked, where it is worth while.
    ///
    /// # Errors
    /// Those of reading the metadata, and of reading and writing stripes; what was cleaned before stays so.
    pub async fn clean(&self) -> Result<(), FsError> {
        for slot in self.with_ledger(|sums| sums.slots.keys().copied().collect::<Vec<_>>()).await? {
            self.clean_slot(slot).await?;
        }
        Ok(())
    }

    /// Cleans the slots whose turn it is; one that cannot be cleaned does not keep it from others.
    async fn clean_due(&self, looked: &mut HashMap<Slot, Looked>, period: Duration) -> Result<(), FsError> {
        if self.0.stripes.metadata_room() < Room::Scarce {
            return Ok(());
        }
        let now = self.0.clock.monotonic();
        let due = self.with_ledger(|sums| {
            looked.retain(|slot, _| sums.slots.contains_key(slot));
            let turn = |slot: &Slot, account: &Account| {
                let known = looked.get(slot).copied().unwrap_or_default();
                let (dead, part) = (dead(account), account.data / DEAD);
                dead > 0 && dead >= part && dead.abs_diff(known.dead) >= part / 2 && now >= known.until
            };
            let slots = sums.slots.iter().filter(|(slot, account)| turn(slot, account));
            slots.map(|(slot, _)| *slot).collect::<Vec<_>>()
        });
        for slot in due.await? {
            let result = self.clean_slot(slot).await;
            let known = looked.entry(slot).or_default();
            match result {
                Ok(()) => {
                    let left = self.with_ledger(|sums| sums.slots.get(&slot).map(dead)).await?;
                    *known = Looked { dead: left.unwrap_or(0), ..Looked::default() };
                }
                Err(error) => {
                    known.until = self.0.clock.monotonic() + period * ((1 << known.failures) - 1);
                    known.failures = (known.failures + 1).min(BACK_OFF_MAX);
                    match error {
                        FsError::NoSpace => tracing::debug!(slot = slot.0, "no room to clean"),
                        error => tracing::warn!(slot = slot.0, %error, "not cleaned; it is tried again"),
                    }
                }
            }
        }
        Ok(())
    }

    async fn clean_slot(&self, slot: Slot) -> Result<(), FsError> {
        let filesystems = self.past(|map| accounts::filesystems_in(map, slot)).await?;
        for fs in filesystems.into_iter().filter(|fs| self.0.removals.of(*fs).is_none()) {
            let mut after = None;
            loop {
                let (stripes, next) = self.live_after(fs, slot, after).await?;
                if !stripes.is_empty() {
                    self.clean_stripes(fs, slot, stripes).await?;
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Stripes of a filesystem in a slot, and where to go on.
    async fn live_after(
        &self,
        fs: FsId,
        slot: Slot,
        mut after: Option<StripeAt>,
    ) -> Result<(Leaving, Option<StripeAt>), FsError> {
        let mut found = Leaving::new();
        while found.len() < STRIPES {
            let page = self.past(|map| pending::live_in(map, slot, after, LOOK)).await?;
            let Some((last, _)) = page.last() else { return Ok((found, None)) };
            after = Some(*last);
            // One that is not being laid now, after the view, has all the pieces that it will ever have.
            let still = |stripe: &StripeId| !self.0.laying.has(*stripe);
            let here = page.into_iter().filter(|(at, _)| at.fs == fs && still(&at.stripe));
            let counted = |record| Counted { record, needed: 0, extents: 0, longest: 0 };
            found.extend(here.map(|(at, record)| (at.stripe, counted(record))));
            tokio::task::yield_now().await;
        }
        Ok((found, after))
    }

    /// Cleans those of the stripes that are worth it.
    async fn clean_stripes(&self, fs: FsId, slot: Slot, mut stripes: Leaving) -> Result<(), FsError> {
        let mut from = None;
        loop {
            let start = self.0.clock.monotonic();
            let (found, next) = self.past(|map| parts(map, fs, slot, from, LOOK)).await?;
            for part in &found {
                if let Some(counted) = stripes.get_mut(&part.stripe) {
                    counted.count(part);
                }
            }
            from = next;
            if from.is_none() {
                break;
            }
            self.rest(self.0.clock.monotonic().saturating_sub(start)).await;
        }
        let most = self.0.stripes.stripe_bytes_max();
        let mut leaving = self.can_leave(fs, stripes, most).await?;
        let needed = leaving.values().map(|counted| counted.needed).sum();
        let taken = leaving.values().map(|counted| counted.record.stored_bytes()).sum();
        // Short stripes may take no less when they are moved.
        if self.0.stripes.stored_bytes(needed) >= taken {
            return Ok(());
        }
        let (mut taken, mut bytes, mut from) = (Vec::new(), 0, None);
        loop {
            let start = self.0.clock.monotonic();
            let (found, next) = self.past(|map| parts(map, fs, slot, from, LOOK)).await?;
            let took = self.0.clock.monotonic().saturating_sub(start);
            for part in found {
                let length = part.length as usize;
                // Also one that has come since is left out.
                if length > most || !leaving.contains_key(&part.stripe) {
                    continue;
                }
                if bytes + length > most {
                    self.clean_parts(fs, &mut leaving, std::mem::take(&mut taken)).await?;
                    bytes = 0;
                }
                bytes += length;
                taken.push(part);
            }
            from = next;
            if from.is_none() {
                return self.clean_parts(fs, &mut leaving, taken).await;
            }
            self.rest(took).await;
        }
    }

    /// Those of the stripes that are worth it, and of which nothing would have to stay: neither what a file of
    /// another slot needs too, nor what cannot be moved now.
    async fn can_leave(&self, fs: FsId, stripes: Leaving, most: usize) -> Result<Leaving, FsError> {
        let mut leaving = Leaving::new();
        // One without any is garbage by now, or only files of other slots need it.
        let worth = |it: &Counted| it.needed > 0 && it.needed * 2 < u64::from(it.record.length);
        let chosen = stripes.into_iter().filter(|(_, it)| worth(it) && it.longest as usize <= most);
        for (n, (stripe, counted)) in chosen.enumerate() {
            if self.past(|map| references(map, fs, stripe)).await? == counted.extents {
                leaving.insert(stripe, counted);
            }
            if n % LOOK == LOOK - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(leaving)
    }

    /// Puts parts of stripes into a new one, or into several where only shorter ones are taken.
    async fn clean_parts(&self, fs: FsId, leaving: &mut Leaving, parts: Vec<Part>) -> Result<(), FsError> {
        let mut waiting = vec![parts];
        while let Some(parts) = waiting.pop() {
            let Some(narrow) = self.clean_together(fs, leaving, &parts).await? else { continue };
            leaving.retain(|_, counted| counted.longest as usize <= narrow);
            let left = parts.into_iter().filter(|part| leaving.contains_key(&part.stripe));
            waiting.extend(cut(left, narrow));
        }
        Ok(())
    }

    /// Puts parts of stripes into a new one; comes back with how long one may be where this would be too long.
    async fn clean_together(
        &self,
        fs: FsId,
        leaving: &Leaving,
        parts: &[Part],
    ) -> Result<Option<usize>, FsError> {
        let start = self.0.clock.monotonic();
        let (mut data, mut moves) = (BytesMut::new(), Vec::new());
        for part in parts {
            let Some(Counted { record, .. }) = leaving.get(&part.stripe) else { continue };
            let range = part.at()..part.at().saturating_add(part.length);
            match self.0.stripes.read(PlacedStripe::of(part.stripe, record), range).await {
                Ok(bytes) => {
                    // A stripe is at most 16 MiB long.
                    let at = data.len() as u32;
                    let (ino, offset, length, seen) = (part.ino, part.offset, part.length, part.seen());
                    moves.push(Move { ino, offset, length, seen, at });
                    data.extend_from_slice(&bytes);
                }
                // Freed meanwhile.
                Err(StripeError::Gone(_)) => {}
                Err(error) => return Err(crate::flush::data_error(error)),
            }
        }
        let Some(first) = moves.first() else { return Ok(None) };
        let taking = self.wait_to_clean(data.len()).await?;
        let laid = self.stripe_id(FileId { fs, ino: first.ino }).await?;
        let place = match self.0.stripes.write(Purpose::Essential, fs, laid.stripe, data.freeze()).await {
            Ok(place) => place,
            Err(StripeError::Narrow { bytes_max }) => return Ok(Some(bytes_max)),
            Err(error) => return Err(crate::flush::data_error(error)),
        };
        drop(taking);
        let moves = moves.chunks(super::folding::MOVES).map(<[Move]>::to_vec).collect();
        let moved = self.relocate(fs, place, moves).await;
        self.0.progress.cleaned.fetch_add(moved.bytes, Ordering::Relaxed);
        moved.result?;
        self.rest(self.0.clock.monotonic().saturating_sub(start)).await;
        Ok(None)
    }

    /// Takes space for a stripe; waits a while for what was cleaned before to be freed.
    async fn wait_to_clean(&self, bytes: usize) -> Result<Taking<'_>, FsError> {
        for _ in 0..WAITS {
            if let Some(taking) = self.room_to_clean(bytes) {
                return Ok(taking);
            }
            tokio::time::sleep(WAIT).await;
            self.0.stripes.look_at_usage().await;
        }
        Err(FsError::NoSpace)
    }

    /// Lets extents point into a stripe that was laid and written for them, and frees it when none does.
    pub(super) async fn relocate(
        &self,
        fs: FsId,
        place: PlacedStripe,
        commands: Vec<Vec<Move>>,
    ) -> Relocated {
        let stripe = place.stripe;
        let mut new = Some(place.as_new());
        let mut moved = Relocated { bytes: 0, result: Ok(()) };
        for moves in commands {
            let action = Action::Relocate { key: self.0.fold_key, stripe, new: new.clone(), moves };
            match self.propose_as(Cred::root(), fs, action).await {
                Ok(Reply::Relocated { bytes }) => {
                    moved.bytes += bytes;
                    if bytes > 0 {
                        new = None;
                    }
                }
                Ok(reply) => moved.result = Err(crate::propose::unexpected(&reply)),
                // It may yet take effect: the stripe must stay.
                Err(error @ (FsError::Delay | FsError::Uncertain)) => {
                    return Relocated { result: Err(error), ..moved };
                }
                Err(error) => moved.result = Err(error),
            }
            if moved.result.is_err() {
                break;
            }
        }
        if new.is_some() {
            self.free_unneeded(&[place]).await;
        }
        moved
    }
}

/// The same parts in groups of at most `most` bytes; none of them is longer.
fn cut(parts: impl Iterator<Item = Part>, most: usize) -> Vec<Vec<Part>> {
    let (mut groups, mut bytes): (Vec<Vec<Part>>, _) = (Vec::new(), 0);
    for part in parts {
        let length = part.length as usize;
        match groups.last_mut() {
            Some(group) if bytes + length <= most => group.push(part),
            _ => {
                groups.push(vec![part]);
                bytes = 0;
            }
        }
        bytes += length;
    }
    groups
}

/// What became of bytes that were to be moved.
pub(super) struct Relocated {
    /// Those that were.
    pub(super) bytes: u64,
    pub(super) result: Result<(), FsError>,
}
