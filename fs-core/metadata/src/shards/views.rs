//! One map out of the views of all shards.

use super::Inner;
use crate::{Locking, Member, MetadataError, ShardView, slot_of, slots_of_range};
use bytes::Bytes;
use futures_util::future::try_join_all;
use map::{MapError, OrderedMap, Reads, Visit};
use parking_lot::Mutex;
use std::sync::Arc;
use types::ShardId;

/// All shards, each as it was when it was first asked: that one at a time, in the order of the questions.
pub struct Views<M: Member> {
    set: Arc<Inner<M>>,
    locking: Locking,
    opened: Mutex<Vec<(ShardId, Arc<M::View>)>>,
}

impl<M: Member> Views<M> {
    pub(super) fn new(set: Arc<Inner<M>>, locking: Locking) -> Views<M> {
        Views { set, locking, opened: Mutex::default() }
    }

    /// The shards that were asked, in that order.
    #[must_use]
    pub fn asked(&self) -> Vec<ShardId> {
        self.opened.lock().iter().map(|(shard, _)| *shard).collect()
    }

    /// Asks all shards, so that all are as they are now.
    ///
    /// # Errors
    /// Those of the shards.
    pub async fn ask_all(&self) -> Result<(), MetadataError> {
        let views: Vec<_> = self.set.members.keys().map(|shard| self.of(*shard)).collect::<Result<_, _>>()?;
        try_join_all(views.iter().map(|view| view.open())).await?;
        Ok(())
    }

    /// The view of one shard.
    ///
    /// # Errors
    /// Those of the shard.
    pub fn of(&self, shard: ShardId) -> Result<Arc<M::View>, MetadataError> {
        let mut opened = self.opened.lock();
        if let Some((_, view)) = opened.iter().find(|(known, _)| *known == shard) {
            return Ok(view.clone());
        }
        let view = Arc::new(self.set.member(shard)?.view(self.locking)?);
        opened.push((shard, view.clone()));
        Ok(view)
    }

    fn at(&self, shard: ShardId) -> Result<Arc<M::View>, MapError> {
        self.of(shard).map_err(|error| MapError::Away(error.to_string()))
    }

    /// Whether `reads`, read from these views, were all true at one moment: the one at which the last shard was
    /// first asked. Nothing has to be asked where that was the only one.
    ///
    /// # Errors
    /// Those of the shards; [`MapError::Locked`] where that cannot be told yet.
    pub async fn hold(&self, reads: Reads) -> Result<bool, MapError> {
        match self.older(reads) {
            Some(older) => self.again().read(|later| older.hold_in(later)).await,
            None => Ok(true),
        }
    }

    /// Of `reads`, read from these views, those that must be true later, too, to have been true at one moment: all
    /// but those of the shard that was asked last. `None` where only one was asked.
    #[must_use]
    pub fn older(&self, mut reads: Reads) -> Option<Reads> {
        let asked = self.asked();
        let Some((last, [_, ..])) = asked.split_last() else { return None };
        let slots = &self.set.slots;
        let before = |key: &[u8]| slots.shard(slot_of(key)) != *last;
        reads.gets.retain(|key, _| before(key));
        reads.peeks.retain(|key, _| before(key));
        reads.ranges.retain(|range| match slots_of_range(&range.from, &range.to) {
            Some((a, b)) => slots.shard_of_all(a, b) != Some(*last),
            None => false,
        });
        Some(reads)
    }

    /// Views like these of a later moment.
    #[must_use]
    pub fn again(&self) -> Views<M> {
        Views::new(self.set.clone(), self.locking)
    }

    /// Reads until nothing of what is read has to be fetched any more.
    ///
    /// # Errors
    /// Those of `read`, and of fetching.
    pub async fn read<T>(&self, read: impl Fn(&Self) -> Result<T, MapError>) -> Result<T, MapError> {
        loop {
            match read(self) {
                Err(MapError::Absent) => self.fetch().await?,
                outcome => return outcome,
            }
        }
    }

    /// Lets go of what was fetched: for who goes through much, and does not come back.
    pub fn forget(&self) {
        self.opened.lock().iter().for_each(|(_, view)| view.forget());
    }

    /// Fetches what was read in vain, with [`MapError::Absent`].
    ///
    /// # Errors
    /// Those of the shards.
    pub async fn fetch(&self) -> Result<(), MapError> {
        let opened: Vec<_> = self.opened.lock().iter().map(|(_, view)| view.clone()).collect();
        let fetched = try_join_all(opened.iter().map(|view| view.fetch())).await?;
        if fetched.contains(&true) {
            return Ok(());
        }
        Err(MapError::Broken("nothing is missing, and something is".to_owned()))
    }

    /// The parts of a range, in order, each with its shard.
    fn parts<'a>(&self, from: &'a [u8], to: &'a [u8]) -> Vec<(ShardId, Vec<u8>, Vec<u8>)> {
        let Some((first, last)) = slots_of_range(from, to) else { return Vec::new() };
        if let Some(shard) = self.set.slots.shard_of_all(first, last) {
            return vec![(shard, from.to_vec(), to.to_vec())];
        }
        let runs = self.set.slots.runs().filter(|(a, b, _)| *a <= last && first <= *b);
        runs.map(|(a, b, shard)| {
            let begin = a.0.to_be_bytes();
            let end = b.0.checked_add(1).map(u16::to_be_bytes);
            let from = if a <= first { from.to_vec() } else { begin.to_vec() };
            let to = end.filter(|end| &end[..] < to).map_or(to.to_vec(), |end| end.to_vec());
            (shard, from, to)
        })
        .collect()
    }

    fn walk(&self, from: &[u8], to: &[u8], ascending: bool, visit: &mut Visit<'_>) -> Result<(), MapError> {
        let mut parts = self.parts(from, to);
        if !ascending {
            parts.reverse();
        }
        let mut go_on = true;
        for (shard, from, to) in parts {
            let view = self.at(shard)?;
            let mut visit = |key: &[u8], value: &[u8]| {
                go_on = visit(key, value);
                go_on
            };
            match ascending {
                true => view.scan(&from, &to, &mut visit)?,
                false => view.scan_back(&from, &to, &mut visit)?,
            }
            if !go_on {
                break;
            }
        }
        Ok(())
    }
}

impl<M: Member> OrderedMap for Views<M> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.at(self.set.slots.shard(slot_of(key)))?.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, true, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, false, visit)
    }
}
