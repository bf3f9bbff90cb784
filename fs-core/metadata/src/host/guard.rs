//! The map that a command sees: the shard's own slots as far as they are not locked, and of others what a
//! transaction brings along.

use super::pending::{Pending, Unlocked};
use super::slots_of_range;
use crate::host::{OfMachine, slot_of};
use crate::transaction::{Digest, DigestKey, Foreign, TxId};
use bytes::Bytes;
use cluster::SlotTable;
use map::{MapError, OrderedMap, Visit};
use std::cell::Cell;
use types::{ShardId, Slot};

/// Why a command cannot run here and now. It is kept beside the error that the machine gets, so that it
/// counts whatever the machine makes of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Denied {
    /// It needs a slot of another shard.
    Elsewhere(Slot),
    /// It needs what a transaction holds.
    Locked(TxId),
    /// It needs something that its executor had not read, or that is not as it was.
    Changed,
}

/// What a transaction brings along.
pub(crate) struct Brought {
    pub(crate) foreign: Foreign,
    pub(crate) guards: Vec<(Bytes, Digest)>,
    pub(crate) digest_key: DigestKey,
}

pub(crate) struct Guard<'a> {
    pub(crate) stored: OfMachine<'a>,
    pub(crate) pending: &'a Pending,
    pub(crate) slots: &'a SlotTable,
    pub(crate) shard: ShardId,
    pub(crate) brought: Option<&'a Brought>,
    pub(crate) denied: Cell<Option<Denied>>,
}

impl Guard<'_> {
    fn deny(&self, why: Denied) -> MapError {
        if self.denied.get().is_none() {
            self.denied.set(Some(why));
        }
        match why {
            Denied::Elsewhere(slot) => MapError::Elsewhere(slot),
            Denied::Locked(tx) => MapError::Locked(map::Locked { shard: self.shard, holder: tx.as_u128() }),
            Denied::Changed => MapError::Broken("a transaction reads what it had not read before".to_owned()),
        }
    }

    fn unlocked(&self) -> Unlocked<'_> {
        Unlocked { below: &self.stored, pending: self.pending, shard: self.shard, own: None }
    }

    /// Hands an answer on; a lock is noted.
    fn noted<T>(&self, answer: Result<T, MapError>) -> Result<T, MapError> {
        if let Err(MapError::Locked(locked)) = &answer {
            self.deny(Denied::Locked(TxId::from_u128(locked.holder)));
        }
        answer
    }

    fn of_others(&self, slot: Slot) -> Result<&Foreign, MapError> {
        self.brought.map(|brought| &brought.foreign).ok_or_else(|| self.deny(Denied::Elsewhere(slot)))
    }

    fn walk(&self, from: &[u8], to: &[u8], ascending: bool, visit: &mut Visit<'_>) -> Result<(), MapError> {
        let Some((first, last)) = slots_of_range(from, to) else { return Ok(()) };
        if self.slots.shard_of_all(first, last) == Some(self.shard) {
            let unlocked = self.unlocked();
            return self.noted(match ascending {
                true => unlocked.scan(from, to, visit),
                false => unlocked.scan_back(from, to, visit),
            });
        }
        let own = self.slots.runs().any(|(a, b, shard)| shard == self.shard && a <= last && first <= b);
        if own {
            // Over the border of a shard: no machine needs that, and no transaction brings it.
            return Err(self.deny(Denied::Elsewhere(first)));
        }
        let foreign = self.of_others(first)?;
        let answer =
            if ascending { foreign.scan(from, to, visit) } else { foreign.scan_back(from, to, visit) };
        answer.map_err(|_| self.deny(Denied::Changed))
    }
}

impl OrderedMap for Guard<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        let slot = slot_of(key);
        if self.slots.shard(slot) == self.shard {
            return self.noted(self.unlocked().get(key));
        }
        self.of_others(slot)?.get(key).map_err(|_| self.deny(Denied::Changed))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, true, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, false, visit)
    }

    /// What comes from another shard is worth something only while its guard is as it was: one of another
    /// shard is locked there, one of this shard is looked at here. Where none is named, all that comes is locked.
    fn get_under(&self, key: &[u8], guard: &[u8]) -> Result<Option<Bytes>, MapError> {
        let here = |key: &[u8]| self.slots.shard(slot_of(key)) == self.shard;
        if let Some(brought) = self.brought
            && !brought.guards.is_empty()
            && !here(key)
            && here(guard)
        {
            let now = self.get(guard)?;
            let now = brought.digest_key.value(now.as_deref());
            let as_it_was = brought.guards.iter().any(|(known, was)| known == guard && *was == now);
            if !as_it_was {
                return Err(self.deny(Denied::Changed));
            }
        }
        self.get(key)
    }
}
