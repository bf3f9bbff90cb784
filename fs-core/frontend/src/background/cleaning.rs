//! Cleaning: what is needed still of stripes that are less than half needed goes into other stripes.
//!
//! It looks at slots in which much is dead, and goes by the extents there: of a piece, too, only some bytes may be
//! needed still. As with folding, nobody waits for it: what is not any more as it was seen stays where it is.

use crate::look::answer;
use crate::{Frontend, Inner, PlacedStripe, Purpose, Shards, StripeError, Stripes};
use bytes::BytesMut;
use namespace::queries::sparse::{Part, parts};
use namespace::queries::{accounts, pending};
use namespace::records::{Account, Stripe};
use namespace::{Action, Move, Reply};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use types::{Cred, FileId, FsError, FsId, Slot, StripeId};

/// A slot is looked at when one part in so many of its data is dead, and again when it has changed by half of that.
const DEAD: u64 = 4;
/// Stripes looked at together, extents in one step, moves of one command.
const STRIPES: usize = 4096;
const LOOK: usize = 1024;
const MOVES: usize = 128;

/// Stripes that commands are adding pieces to: they must not turn into garbage in between.
#[derive(Default)]
pub(crate) struct Laying(Mutex<BTreeSet<StripeId>>);

/// Some of them, until it is dropped.
pub(crate) struct Laid<'a> {
    laying: &'a Laying,
    stripes: Vec<StripeId>,
}

impl Laying {
    /// Must be called before the first command that brings one of them.
    pub(crate) fn lay(&self, stripes: Vec<StripeId>) -> Laid<'_> {
        self.0.lock().extend(&stripes);
        Laid { laying: self, stripes }
    }

    fn has(&self, stripe: StripeId) -> bool {
        self.0.lock().contains(&stripe)
    }
}

impl Drop for Laid<'_> {
    fn drop(&mut self) {
        let mut laying = self.laying.0.lock();
        laying.retain(|stripe| !self.stripes.contains(stripe));
    }
}

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = HashMap::new();
    loop {
        ticks.tick().await;
        let Some(inner) = weak.upgrade() else { return };
        match Frontend(inner).clean_due(&mut looked).await {
            Ok(()) => {}
            Err(FsError::NoSpace) => tracing::debug!("no room to clean"),
            Err(error) => tracing::warn!(%error, "not cleaned; it is tried again"),
        }
    }
}

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
        for slot in self.with_ledger(|sums| sums.slots.keys().copied().collect::<Vec<_>>())? {
            self.clean_slot(slot).await?;
        }
        Ok(())
    }

    async fn clean_due(&self, looked: &mut HashMap<Slot, u64>) -> Result<(), FsError> {
        let due = self.with_ledger(|sums| {
            looked.retain(|slot, _| sums.slots.contains_key(slot));
            let much = |account: &Account, of: u64| of > 0 && of >= account.data / DEAD;
            let turn = |slot: &Slot, account: &Account| {
                let known = looked.get(slot).copied().unwrap_or(0);
                much(account, dead(account)) && dead(account).abs_diff(known) >= account.data / DEAD / 2
            };
            let slots = sums.slots.iter().filter(|(slot, account)| turn(slot, account));
            slots.map(|(slot, _)| *slot).collect::<Vec<_>>()
        })?;
        for slot in due {
            self.clean_slot(slot).await?;
            let left = self.with_ledger(|sums| sums.slots.get(&slot).map(dead))?;
            looked.insert(slot, left.unwrap_or(0));
        }
        Ok(())
    }

    async fn clean_slot(&self, slot: Slot) -> Result<(), FsError> {
        let filesystems = answer(accounts::filesystems_in(&self.past_view(), slot))?;
        for fs in filesystems {
            let mut after = None;
            loop {
                let page = answer(pending::live_in(&self.past_view(), slot, after, STRIPES))?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                // One that is not being laid now, after the view, has all the pieces that it will ever have.
                let still = |stripe: &StripeId| !self.0.laying.has(*stripe);
                let here = page.into_iter().filter(|(at, _)| at.fs == fs && still(&at.stripe));
                self.clean_stripes(fs, slot, here.map(|(at, record)| (at.stripe, record)).collect()).await?;
            }
        }
        Ok(())
    }

    /// Cleans those of the stripes that are worth it.
    async fn clean_stripes(
        &self,
        fs: FsId,
        slot: Slot,
        mut stripes: BTreeMap<StripeId, Stripe>,
    ) -> Result<(), FsError> {
        let mut needed: HashMap<StripeId, u64> = HashMap::new();
        let mut from = None;
        loop {
            let (found, next) = answer(parts(&self.past_view(), fs, slot, from, LOOK))?;
            for part in found.iter().filter(|part| stripes.contains_key(&part.stripe)) {
                *needed.entry(part.stripe).or_default() += u64::from(part.length);
            }
            from = next;
            if from.is_none() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // One without any is garbage by now, or only files of other slots need it.
        let worth = |bytes: u64, record: &Stripe| bytes > 0 && bytes * 2 < u64::from(record.length);
        stripes.retain(|stripe, record| worth(needed.get(stripe).copied().unwrap_or(0), record));
        let all: u64 = stripes.keys().filter_map(|stripe| needed.get(stripe)).sum();
        let taken = stripes.values().map(Stripe::stored_bytes).sum();
        // Short stripes may take no less when they are moved.
        if self.0.stripes.stored_bytes(all) >= taken {
            return Ok(());
        }
        let most = self.0.stripes.stripe_bytes_max();
        let (mut taken, mut bytes, mut from) = (Vec::new(), 0, None);
        loop {
            let (found, next) = answer(parts(&self.past_view(), fs, slot, from, LOOK))?;
            for part in found {
                let length = part.length as usize;
                if !stripes.contains_key(&part.stripe) || length > most {
                    continue;
                }
                if bytes + length > most {
                    self.clean_parts(fs, &stripes, &std::mem::take(&mut taken)).await?;
                    bytes = 0;
                }
                bytes += length;
                taken.push(part);
            }
            from = next;
            if from.is_none() {
                return self.clean_parts(fs, &stripes, &taken).await;
            }
        }
    }

    /// Puts parts of stripes into a new one.
    async fn clean_parts(
        &self,
        fs: FsId,
        stripes: &BTreeMap<StripeId, Stripe>,
        parts: &[Part],
    ) -> Result<(), FsError> {
        let start = self.0.clock.monotonic();
        let (mut data, mut moves) = (BytesMut::new(), Vec::new());
        for part in parts {
            let Some(record) = stripes.get(&part.stripe) else { continue };
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
        let Some(first) = moves.first() else { return Ok(()) };
        let stripe = self.stripe_id(FileId { fs, ino: first.ino }).await?;
        let place = match self.0.stripes.write(Purpose::Essential, fs, stripe, data.freeze()).await {
            Ok(place) => place,
            // It is done in smaller parts when drives are back.
            Err(StripeError::Narrow { .. }) => return Err(FsError::NoSpace),
            Err(error) => return Err(crate::flush::data_error(error)),
        };
        let moves = moves.chunks(MOVES).map(<[Move]>::to_vec).collect();
        let moved = self.relocate(fs, place, moves).await;
        self.0.progress.cleaned.fetch_add(moved.bytes, Ordering::Relaxed);
        moved.result?;
        self.rest(self.0.clock.monotonic().saturating_sub(start)).await;
        Ok(())
    }

    /// Lets extents point into a stripe that was written for them, and frees it when none does.
    pub(super) async fn relocate(
        &self,
        fs: FsId,
        place: PlacedStripe,
        commands: Vec<Vec<Move>>,
    ) -> Relocated {
        let stripe = place.stripe;
        let _laid = self.0.laying.lay(vec![stripe]);
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

/// What became of bytes that were to be moved.
pub(super) struct Relocated {
    /// Those that were.
    pub(super) bytes: u64,
    pub(super) result: Result<(), FsError>,
}
