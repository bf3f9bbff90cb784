//! Giving back what filesystems take that are being removed.
//!
//! In steps over all slots: first every slot is closed and loses its inodes, until none is anywhere, so that no command
//! that is on its way can change anything; then goes the rest. Stripes become garbage and are freed as any other. A
//! restart begins again, and finds what was done.

use crate::look::read;
use crate::propose::unexpected;
use crate::{Frontend, Inner, Shards, Stripes};
use bytes::Bytes;
use namespace::queries::accounts;
use namespace::queries::removal::{self, Left};
use namespace::{Action, Reply};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;
use tokio::task::JoinSet;
use types::{Cred, FsError, FsId, Slot};

/// Time between two looks, while something waits for chunks to be freed.
const PERIOD: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(3600);
/// Slots worked on at the same time.
const AT_ONCE: usize = 4;
/// Slots looked at before others get their turn.
const LOOK: usize = 64;

/// How far a filesystem has come: the slots in which only garbage is left, once that is so in all.
type Waiting = Option<Vec<Slot>>;

pub(super) async fn run<S: Shards, D: Stripes>(weak: Weak<Inner<S, D>>) {
    let mut under_way: BTreeMap<FsId, Waiting> = BTreeMap::new();
    loop {
        let Some(inner) = weak.upgrade() else { return };
        let this = Frontend(inner);
        let gone = this.0.removals.gone();
        under_way.retain(|fs, _| gone.contains(fs));
        for fs in gone {
            match this.give_back(fs, under_way.entry(fs).or_default()).await {
                Ok(true) => {
                    tracing::info!(fs = fs.0, "nothing is left of a filesystem that was removed");
                    this.forget_removal(fs);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(fs = fs.0, %error, "a filesystem is not removed yet; it is tried again")
                }
            }
        }
        let wait = if this.0.removals.gone().is_empty() { IDLE } else { PERIOD };
        drop(this);
        let Some(removals) = weak.upgrade().map(|inner| inner.removals.clone()) else { return };
        let _ = tokio::time::timeout(wait, removals.more.notified()).await;
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Removes what can be removed now; whether nothing is left.
    async fn give_back(&self, fs: FsId, waiting: &mut Waiting) -> Result<bool, FsError> {
        match waiting {
            None => self.empty(fs).await?,
            Some(slots) if !slots.is_empty() => {
                self.look_again(fs, slots).await?;
                if !slots.is_empty() {
                    return Ok(false);
                }
            }
            Some(_) => {}
        }
        // All slots are looked at only before the first garbage is waited for, and after the last.
        let left = self.slots_left(fs, |_| true).await?;
        let done = left.is_empty();
        *waiting = Some(left);
        if done {
            self.propose_as(Cred::root(), FsId(0), Action::ForgetFilesystem { id: fs }).await?;
        }
        Ok(done)
    }

    /// Removes all but garbage.
    async fn empty(&self, fs: FsId) -> Result<(), FsError> {
        loop {
            let open = self.slots_open(fs).await?;
            if open.is_empty() {
                break;
            }
            self.empty_slots(fs, open, true).await?;
        }
        let full = self.slots_left(fs, |left| !left.only_garbage).await?;
        self.empty_slots(fs, full, false).await
    }

    /// Removes what is left in slots whose garbage has been freed; those of which anything is left stay in the list.
    async fn look_again(&self, fs: FsId, slots: &mut Vec<Slot>) -> Result<(), FsError> {
        let mut freed = Vec::new();
        for part in slots.chunks(LOOK) {
            let view = self.past_view();
            for slot in part {
                let left = read(&view, |map| removal::left_in(map, fs, *slot)).await?;
                freed.extend(left.is_none_or(|left| !left.only_garbage).then_some(*slot));
            }
            tokio::task::yield_now().await;
        }
        self.empty_slots(fs, freed.clone(), false).await?;
        slots.retain(|slot| freed.binary_search(slot).is_err());
        Ok(())
    }

    /// Slots in which an inode is, or could be made. None, and there never will be: an inode is made in a directory.
    async fn slots_open(&self, fs: FsId) -> Result<Vec<Slot>, FsError> {
        self.0.shards.settled().await;
        // What a transaction has not written yet is not in the view.
        let held = self.0.shards.held().await.map_err(|error| {
            tracing::warn!(%error, "a shard cannot be read");
            FsError::Delay
        })?;
        let mut open = self.slots_left(fs, |left| left.open).await?;
        for slot in held {
            let look = || self.look_behind(|map| removal::left_in(map, fs, slot));
            open.extend(self.unlocked(look).await?.filter(|left| left.open).map(|left| left.slot));
        }
        open.sort_unstable();
        open.dedup();
        Ok(open)
    }

    async fn slots_left(&self, fs: FsId, which: impl Fn(&Left) -> bool) -> Result<Vec<Slot>, FsError> {
        let view = self.view_of_all().await?;
        let (mut slots, mut from, mut looked) = (Vec::new(), Some(Slot(0)), 0usize);
        while let Some(at) = from {
            let Some(slot) = read(&view, |map| accounts::used_slot(map, at)).await? else { break };
            let left = read(&view, |map| removal::left_in(map, fs, slot)).await?;
            slots.extend(left.filter(&which).map(|left| left.slot));
            from = slot.0.checked_add(1).map(Slot);
            looked += 1;
            if looked.is_multiple_of(LOOK) {
                tokio::task::yield_now().await;
            }
        }
        Ok(slots)
    }

    async fn empty_slots(&self, fs: FsId, slots: Vec<Slot>, inodes: bool) -> Result<(), FsError> {
        let (mut under_way, mut result) = (JoinSet::new(), Ok(()));
        for slot in slots {
            if under_way.len() >= AT_ONCE {
                result = super::ended(under_way.join_next().await).and(result);
            }
            if result.is_err() {
                break;
            }
            let this = self.clone();
            under_way.spawn(async move { this.empty_slot(fs, slot, inodes).await });
        }
        while let Some(one) = under_way.join_next().await {
            result = super::ended(Some(one)).and(result);
        }
        result
    }

    async fn empty_slot(&self, fs: FsId, slot: Slot, inodes: bool) -> Result<(), FsError> {
        let mut from = Bytes::new();
        loop {
            let begin = self.0.clock.monotonic();
            let action = Action::EmptySlot { slot, from, inodes };
            let next = match self.propose_as(Cred::root(), fs, action).await? {
                Reply::Emptied { next } => next,
                reply => return Err(unexpected(&reply)),
            };
            self.rest(self.0.clock.monotonic().saturating_sub(begin)).await;
            match next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}
