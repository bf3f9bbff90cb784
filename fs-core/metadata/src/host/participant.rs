//! A shard's part in transactions that another shard decides.

use super::pending::{Held, Locks};
use super::{Host, PREPARED_MAX, elder, slots_of_range, stored};
use crate::transaction::{Age, Answer, Prepare, TxId, Write, decode, encode};
use crate::{MetadataError, Refused};
use bytes::Bytes;
use map::{MapError, OrderedMap, OrderedMapMut};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::ShardId;
use types::limits::COMMAND_KEYS_MAX;

/// What is kept of a transaction that is prepared.
#[derive(Serialize, Deserialize)]
struct Stored {
    age: Age,
    coordinator: ShardId,
    round: u32,
    whole: bool,
    reads: Vec<Bytes>,
    ranges: Vec<(Bytes, Bytes)>,
    writes: Vec<Write>,
}

const WHAT: &str = "a prepared transaction";

pub(super) fn load(map: &dyn OrderedMap) -> Result<BTreeMap<TxId, Arc<Held>>, MetadataError> {
    let (from, to) = stored::all_prepared();
    let mut all = Vec::new();
    map.scan(&from, &to, &mut |key, value| {
        all.push((stored::number(key).map(u128::from_be_bytes), decode::<Stored>(WHAT, value)));
        true
    })?;
    let mut prepared = BTreeMap::new();
    for (id, record) in all {
        let id = id.ok_or_else(|| MetadataError::Damaged("a prepared transaction's key".to_owned()))?;
        let tx = TxId::from_u128(id);
        let Stored { age, coordinator, round, whole, reads, ranges, writes } = record?;
        let writes = writes.into_iter().map(|(key, _)| key).collect();
        let locks = Locks { reads, ranges, writes };
        prepared.insert(tx, Arc::new(Held { tx, age, coordinator, round, whole, locks }));
    }
    Ok(prepared)
}

impl Host {
    /// See [`Prepare`].
    pub(super) fn prepare(
        &mut self,
        map: &mut dyn OrderedMapMut,
        mut prepare: Prepare,
    ) -> Result<Answer, MapError> {
        let (tx, age) = (prepare.tx, prepare.age);
        if let Some(ended) = self.executors.ended(tx) {
            return Ok(ended);
        }
        if let Some(held) = self.pending.prepared.get(&tx)
            && held.round >= prepare.round
        {
            return Ok(if held.whole { Answer::Prepared } else { Answer::Stale });
        }
        // The locks are looked up by order.
        prepare.gets.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        prepare.writes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Err(refused) = self.check_prepare(&prepare) {
            return Ok(Answer::Refused(refused));
        }
        let locks = Locks {
            reads: prepare.gets.iter().map(|(key, _)| key.clone()).collect(),
            ranges: prepare.ranges.iter().map(|(from, to, _)| (from.clone(), to.clone())).collect(),
            writes: prepare.writes.iter().map(|(key, _)| key.clone()).collect(),
        };
        if let Some((held, key)) = self.pending.barring_any(tx, &locks) {
            let holder = held.holder();
            elder::wait(&mut self.elder, map, age, key);
            return Ok(Answer::Blocked(Some(holder)));
        }
        if elder::holds_back(&mut self.elder, map, age, |key| locks.want(key)) {
            return Ok(Answer::Blocked(None));
        }
        let is_new = !self.pending.prepared.contains_key(&tx);
        if is_new && self.pending.prepared.len() >= PREPARED_MAX {
            return Ok(Answer::Full);
        }
        let whole = as_it_was(&stored::OfMachine(map), &prepare)?;
        // Nothing fails from here on.
        elder::come(&mut self.elder, map, age);
        let Prepare { round, coordinator, writes, .. } = prepare;
        let writes = if whole { writes } else { writes.into_iter().map(|(key, _)| (key, None)).collect() };
        let Locks { reads, ranges, .. } = locks.clone();
        let record = Stored { age, coordinator, round, whole, reads, ranges, writes };
        map.put(&stored::prepared(tx), encode(&record));
        let held = Held { tx, age, coordinator, round, whole, locks };
        self.pending_mut().prepared.insert(tx, Arc::new(held));
        Ok(if whole { Answer::Prepared } else { Answer::Stale })
    }

    fn check_prepare(&self, prepare: &Prepare) -> Result<(), Refused> {
        let Prepare { gets, ranges, writes, coordinator, .. } = prepare;
        if gets.len() > COMMAND_KEYS_MAX || ranges.len() > COMMAND_KEYS_MAX || writes.len() > COMMAND_KEYS_MAX
        {
            return Err(Refused::TooManyKeys);
        }
        if *coordinator == self.shard || writes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Refused::Unreadable);
        }
        let keys = gets.iter().map(|(key, _)| key).chain(writes.iter().map(|(key, _)| key));
        for key in keys {
            self.check_key(key)?;
        }
        for (from, to, _) in ranges {
            let slots = slots_of_range(from, to);
            if slots.is_some_and(|(first, last)| self.slots.shard_of_all(first, last) != Some(self.shard)) {
                return Err(Refused::Elsewhere);
            }
        }
        Ok(())
    }

    /// The decision has come.
    pub(super) fn finish(
        &mut self,
        map: &mut dyn OrderedMapMut,
        tx: TxId,
        commit: bool,
        floor: u64,
    ) -> Result<Answer, MapError> {
        let Some(held) = self.pending.prepared.get(&tx) else {
            self.end(map, tx, floor);
            return Ok(Answer::Done);
        };
        if commit && !held.whole {
            tracing::error!(shard = self.shard.0, %tx, "decided for what was never prepared as a whole here");
            return Ok(Answer::Stale);
        }
        let key = stored::prepared(tx);
        if commit {
            let broken = |why: &str| MapError::Broken(format!("prepared transaction {tx}: {why}"));
            let record = map.get(&key)?.ok_or_else(|| broken("it is not stored"))?;
            let record: Stored = decode(WHAT, &record).map_err(|error| broken(&error.to_string()))?;
            for (key, change) in record.writes {
                match change {
                    Some(value) => map.put(&stored::of_machine(&key), value),
                    None => map.delete(&stored::of_machine(&key)),
                }
            }
        }
        map.delete(&key);
        self.end(map, tx, floor);
        self.pending_mut().prepared.remove(&tx);
        Ok(Answer::Done)
    }
}

impl Locks {
    /// Whether `key` is one that these would lock.
    fn want(&self, key: &[u8]) -> bool {
        self.bar_write(key)
    }
}

/// Whether everything that was read still is as it was.
fn as_it_was(map: &dyn OrderedMap, prepare: &Prepare) -> Result<bool, MapError> {
    for (key, digest) in &prepare.gets {
        if prepare.digest_key.value(map.get(key)?.as_deref()) != *digest {
            return Ok(false);
        }
    }
    for (from, to, digest) in &prepare.ranges {
        let mut digester = prepare.digest_key.begin();
        let mut rows = 0;
        map.scan(from, to, &mut |key, value| {
            digester.row(key, value);
            rows += 1;
            rows <= COMMAND_KEYS_MAX
        })?;
        if digester.end() != *digest {
            return Ok(false);
        }
    }
    Ok(true)
}
