//! The transactions that a shard has a part in and that have not ended: what they lock.

use crate::host::slot_of;
use crate::transaction::{Age, Holder, TxId};
use bytes::Bytes;
use map::{Locked, MapError, OrderedMap, Visit};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{ShardId, Slot};

/// What a transaction holds in a shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The transaction.
    pub tx: TxId,
    /// Its age.
    pub age: Age,
    /// The shard that decides.
    pub coordinator: ShardId,
    /// Which of the executor's rounds this is.
    pub round: u32,
    /// Everything was as the executor had read it: it may be committed.
    pub whole: bool,
    pub(crate) locks: Locks,
}

/// What is locked: reads against writes, writes against both.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Locks {
    /// In order, as are `writes`.
    pub(crate) reads: Vec<Bytes>,
    pub(crate) ranges: Vec<(Bytes, Bytes)>,
    pub(crate) writes: Vec<Bytes>,
}

/// A decision that participants have not all heard of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// They.
    pub participants: Vec<ShardId>,
    /// What the machine replied.
    pub reply: Bytes,
}

/// All of it. Clones share what they have in common.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// What is prepared here.
    pub prepared: BTreeMap<TxId, Arc<Held>>,
    /// What was decided here.
    pub decided: BTreeMap<TxId, Arc<Decided>>,
}

fn has(keys: &[Bytes], key: &[u8]) -> bool {
    keys.binary_search_by(|known| known.as_ref().cmp(key)).is_ok()
}

/// The first of `keys` in a range.
fn first_in<'a>(keys: &'a [Bytes], from: &[u8], to: &[u8]) -> Option<&'a Bytes> {
    let at = keys.partition_point(|key| key.as_ref() < from);
    keys.get(at).filter(|key| key.as_ref() < to)
}

fn last_in<'a>(keys: &'a [Bytes], from: &[u8], to: &[u8]) -> Option<&'a Bytes> {
    let at = keys.partition_point(|key| key.as_ref() < to);
    keys.get(at.checked_sub(1)?).filter(|key| key.as_ref() >= from)
}

impl Locks {
    /// Whether a write of `key` must wait.
    pub(crate) fn bar_write(&self, key: &[u8]) -> bool {
        let within = |(from, to): &(Bytes, Bytes)| from.as_ref() <= key && key < to.as_ref();
        has(&self.writes, key) || has(&self.reads, key) || self.ranges.iter().any(within)
    }

    fn bar_read(&self, key: &[u8]) -> bool {
        has(&self.writes, key)
    }

    /// A key of `other` that it must wait for.
    pub(crate) fn bar(&self, other: &Locks) -> Option<Bytes> {
        let write = other.writes.iter().find(|key| self.bar_write(key));
        let read = || other.reads.iter().find(|key| self.bar_read(key));
        let range = || other.ranges.iter().find_map(|(from, to)| first_in(&self.writes, from, to));
        write.or_else(read).or_else(range).cloned()
    }
}

impl Held {
    /// Slots in which it is about to write.
    pub fn written_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.locks.writes.iter().map(|key| slot_of(key))
    }

    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { tx: self.tx, age: self.age }
    }
}

impl Pending {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.decided.is_empty()
    }

    fn others(&self, own: Option<TxId>) -> impl Iterator<Item = &Arc<Held>> {
        self.prepared.values().filter(move |held| Some(held.tx) != own)
    }

    /// Who is about to write `key`.
    pub(crate) fn writer(&self, own: Option<TxId>, key: &[u8]) -> Option<&Held> {
        self.others(own).find(|held| held.locks.bar_read(key)).map(|held| &**held)
    }

    /// Who bars a write of `key`.
    pub(crate) fn barring(&self, own: Option<TxId>, key: &[u8]) -> Option<&Held> {
        self.others(own).find(|held| held.locks.bar_write(key)).map(|held| &**held)
    }

    /// Who bars something of `locks`, and at which key.
    pub(crate) fn barring_any(&self, own: TxId, locks: &Locks) -> Option<(&Held, Bytes)> {
        self.others(Some(own)).find_map(|held| Some((&**held, held.locks.bar(locks)?)))
    }

    /// The key that a scan of a range comes to first of those about to be written.
    fn barrier(
        &self,
        own: Option<TxId>,
        (from, to): (&[u8], &[u8]),
        ascending: bool,
    ) -> Option<(Bytes, TxId)> {
        let of = |held: &Arc<Held>| {
            let writes = &held.locks.writes;
            let key = if ascending { first_in(writes, from, to) } else { last_in(writes, from, to) };
            key.map(|key| (key.clone(), held.tx))
        };
        let found = self.others(own).filter_map(of);
        if ascending { found.min() } else { found.max() }
    }
}

/// A map of which keys are locked: what a transaction other than `own` is about to write is not read.
pub(crate) struct Unlocked<'a> {
    pub(crate) below: &'a dyn OrderedMap,
    pub(crate) pending: &'a Pending,
    pub(crate) shard: ShardId,
    pub(crate) own: Option<TxId>,
}

impl Unlocked<'_> {
    fn locked(&self, tx: TxId) -> MapError {
        MapError::Locked(Locked { shard: self.shard, holder: tx.as_u128() })
    }

    fn walk(&self, range: (&[u8], &[u8]), ascending: bool, visit: &mut Visit<'_>) -> Result<(), MapError> {
        let below = |visit: &mut Visit<'_>| match ascending {
            true => self.below.scan(range.0, range.1, visit),
            false => self.below.scan_back(range.0, range.1, visit),
        };
        let Some((barrier, tx)) = self.pending.barrier(self.own, range, ascending) else {
            return below(visit);
        };
        let mut satisfied = false;
        below(&mut |key, value| {
            let reached = if ascending { key >= &barrier[..] } else { key <= &barrier[..] };
            if reached {
                return false;
            }
            satisfied = !visit(key, value);
            !satisfied
        })?;
        if satisfied { Ok(()) } else { Err(self.locked(tx)) }
    }
}

impl OrderedMap for Unlocked<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        match self.pending.writer(self.own, key) {
            Some(held) => Err(self.locked(held.tx)),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk((from, to), true, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk((from, to), false, visit)
    }
}

/// With a transaction for each of these keys that is about to write it.
#[cfg(test)]
pub(crate) fn pending_of(writes: &[u8]) -> Pending {
    let held = |(number, key): (u64, &u8)| {
        let tx = TxId { executor: 1, epoch: 1, number };
        let locks = Locks { writes: vec![Bytes::copy_from_slice(&[*key])], ..Locks::default() };
        let age = Age { born: number, executor: 1, number };
        (tx, Arc::new(Held { tx, age, coordinator: ShardId(0), round: 0, whole: true, locks }))
    };
    Pending { prepared: (0..).zip(writes).map(held).collect(), ..Pending::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMapMut};
    use proptest::prelude::*;

    fn keys(keys: &[u8]) -> Vec<Bytes> {
        let mut keys: Vec<Bytes> = keys.iter().map(|key| Bytes::copy_from_slice(&[*key])).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    fn held(number: u64, reads: &[u8], ranges: &[(u8, u8)], writes: &[u8]) -> Arc<Held> {
        let tx = TxId { executor: 1, epoch: 1, number };
        let range = |&(from, to): &(u8, u8)| (Bytes::copy_from_slice(&[from]), Bytes::copy_from_slice(&[to]));
        let locks =
            Locks { reads: keys(reads), ranges: ranges.iter().map(range).collect(), writes: keys(writes) };
        let age = Age { born: number, executor: 1, number };
        Arc::new(Held { tx, age, coordinator: ShardId(0), round: 0, whole: true, locks })
    }

    fn pending(all: &[Arc<Held>]) -> Pending {
        let prepared = all.iter().map(|held| (held.tx, held.clone())).collect();
        Pending { prepared, ..Pending::default() }
    }

    #[test]
    fn reads_bar_writes_and_writes_bar_both() {
        let pending = pending(&[held(1, &[10], &[(20, 30)], &[40])]);
        let other = TxId { executor: 1, epoch: 1, number: 2 };
        let bars = |reads: &[u8], ranges: &[(u8, u8)], writes: &[u8]| {
            let locks = held(2, reads, ranges, writes).locks.clone();
            pending.barring_any(other, &locks).map(|(_, key)| key[0])
        };
        assert_eq!(bars(&[10, 25], &[(0, 40)], &[30, 19]), None);
        assert_eq!(bars(&[], &[], &[10]), Some(10));
        assert_eq!(bars(&[], &[], &[29]), Some(29));
        assert_eq!(bars(&[], &[], &[40]), Some(40));
        assert_eq!(bars(&[40], &[], &[]), Some(40));
        assert_eq!(bars(&[], &[(39, 41)], &[]), Some(40));
        let own = TxId { executor: 1, epoch: 1, number: 1 };
        assert!(pending.barring_any(own, &held(1, &[40], &[], &[10]).locks).is_none(), "nobody bars itself");
    }

    proptest! {
        /// A read is answered as without locks, unless a key that it depends on is about to be written.
        #[test]
        fn what_is_locked_is_not_read_and_all_else_is(
            there in prop::collection::vec(0u8..20, 0..15),
            writes in prop::collection::vec(prop::collection::vec(0u8..20, 0..3), 0..3),
            (from, to, limit, ascending) in (0u8..21, 0u8..21, 1usize..6, any::<bool>()),
        ) {
            let mut map = MemoryMap::default();
            for key in there {
                map.put(&[key], Bytes::new());
            }
            let all: Vec<_> = writes.iter().enumerate().map(|(n, w)| held(n as u64, &[], &[], w)).collect();
            let pending = pending(&all);
            let unlocked = Unlocked { below: &map, pending: &pending, shard: ShardId(1), own: None };
            let locked: Vec<u8> = writes.concat();
            for key in 0..20 {
                prop_assert_eq!(unlocked.get(&[key]).is_err(), locked.contains(&key));
            }
            let ask = |map: &dyn OrderedMap| {
                let mut seen = Vec::new();
                let mut visit = |key: &[u8], _: &[u8]| {
                    seen.push(key[0]);
                    seen.len() < limit
                };
                let result = if ascending {
                    map.scan(&[from], &[to], &mut visit)
                } else {
                    map.scan_back(&[from], &[to], &mut visit)
                };
                (result, seen)
            };
            let (free, seen) = ask(&map);
            free.unwrap();
            // How far the reader came.
            let range = match (seen.len() == limit, ascending) {
                (true, true) => from..seen[limit - 1] + 1,
                (true, false) => seen[limit - 1]..to,
                (false, _) => from..to,
            };
            let (result, heard) = ask(&unlocked);
            if locked.iter().any(|key| range.contains(key)) {
                prop_assert!(matches!(result, Err(MapError::Locked(_))));
            } else {
                prop_assert_eq!((result, heard), (Ok(()), seen));
            }
        }
    }
}
