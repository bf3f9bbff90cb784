//! What a command did when it was run over views of all shards, parted by shard.

use super::{Commit, Digest, DigestKey, Prepare, Rows, TxId, Write};
use crate::{Age, MetadataError, Refused, slot_of, slots_of_range};
use bytes::Bytes;
use cluster::SlotTable;
use map::{Machine, MapError, OrderedMap, Overlay, RangeRead, Reads, Recorder, WriteSet};
use std::collections::{BTreeMap, HashSet};
use types::ShardId;
use types::limits::{COMMAND_BYTES_MAX, COMMAND_KEYS_MAX};

/// A run of a command that changed nothing.
pub(crate) struct Trial {
    pub(crate) outcome: Result<Bytes, MapError>,
    pub(crate) reads: Reads,
    pub(crate) writes: WriteSet,
}

/// Runs a command over `views`.
pub(crate) fn run(machine: &dyn Machine, views: &dyn OrderedMap, command: &Bytes) -> Trial {
    let recorder = Recorder::new(views);
    let mut writes = WriteSet::default();
    let outcome = machine.apply(&mut Overlay::new(&recorder, &mut writes), command);
    Trial { outcome, reads: recorder.into_reads(), writes }
}

/// What a command read and wrote in one shard other than its home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Part {
    pub(crate) gets: Vec<(Bytes, Option<Bytes>)>,
    pub(crate) ranges: Vec<Rows>,
    pub(crate) writes: Vec<Write>,
}

/// What has to be prepared where, and what the home has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    pub(crate) parts: BTreeMap<ShardId, Part>,
    peeks: Vec<(Bytes, Option<Bytes>)>,
    guards: Vec<(Bytes, Digest)>,
    foreign_writes: Digest,
    digest_key: DigestKey,
}

fn rows(range: RangeRead) -> Rows {
    let found = range.found.into_iter().map(|(key, value)| (Bytes::from(key), value)).collect();
    (range.from.into(), range.to.into(), found)
}

/// Ranges that overlap or follow each other become one: they were read at the same moment.
fn join(ranges: &mut Vec<Rows>) {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut joined: Vec<Rows> = Vec::new();
    for (from, to, found) in std::mem::take(ranges) {
        match joined.last_mut() {
            Some((_, end, rows)) if from <= *end => {
                let more = found.into_iter().filter(|(key, _)| key >= end).collect::<Vec<_>>();
                rows.extend(more);
                *end = std::mem::take(end).max(to);
            }
            _ => joined.push((from, to, found)),
        }
    }
    *ranges = joined;
}

impl Plan {
    /// Parts what was read and written.
    ///
    /// # Errors
    /// [`MetadataError::TooLarge`] beyond the bounds of a command, counted over all shards but `home`;
    /// [`Refused::Elsewhere`] for a range over the border of a shard.
    pub(crate) fn new(
        home: ShardId,
        slots: &SlotTable,
        digest_key: DigestKey,
        reads: Reads,
        writes: &WriteSet,
    ) -> Result<Plan, MetadataError> {
        let away = |key: &[u8]| Some(slots.shard(slot_of(key))).filter(|shard| *shard != home);
        let mut parts: BTreeMap<ShardId, Part> = BTreeMap::new();
        let (mut peeks, mut guards) = (Vec::new(), BTreeMap::new());
        for (key, peek) in reads.peeks {
            if away(&key).is_none() {
                continue;
            }
            if away(&peek.guard).is_none() {
                let was = reads.gets.get(&peek.guard).and_then(Option::as_deref);
                guards.insert(Bytes::from(peek.guard), digest_key.value(was));
            }
            // What is read without a guard too is locked.
            if !reads.gets.contains_key(&key) {
                peeks.push((Bytes::from(key), peek.value));
            }
        }
        for (key, value) in reads.gets {
            if let Some(shard) = away(&key) {
                parts.entry(shard).or_default().gets.push((key.into(), value));
            }
        }
        for range in reads.ranges {
            let Some((first, last)) = slots_of_range(&range.from, &range.to) else { continue };
            let shard = slots.shard_of_all(first, last).ok_or(Refused::Elsewhere)?;
            if shard != home {
                parts.entry(shard).or_default().ranges.push(rows(range));
            }
        }
        parts.values_mut().for_each(|part| join(&mut part.ranges));
        let mut digester = digest_key.begin();
        for (key, change) in writes.iter() {
            if let Some(shard) = away(key) {
                digester.write(key, change);
                let write = (Bytes::copy_from_slice(key), change.clone());
                parts.entry(shard).or_default().writes.push(write);
            }
        }
        let (foreign_writes, guards) = (digester.end(), guards.into_iter().collect());
        let plan = Plan { parts, peeks, guards, foreign_writes, digest_key };
        match plan.size() {
            (keys, bytes) if keys > COMMAND_KEYS_MAX || bytes > COMMAND_BYTES_MAX => {
                Err(MetadataError::TooLarge(bytes))
            }
            _ => Ok(plan),
        }
    }

    /// Different keys, and bytes of keys and values, over all parts.
    fn size(&self) -> (usize, usize) {
        let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let (mut keys, mut bytes) = (HashSet::new(), 0);
        let mut count = |key: &Bytes, value: usize| {
            keys.insert(key.clone());
            bytes += key.len() + value;
        };
        for part in self.parts.values() {
            part.gets.iter().chain(&part.writes).for_each(|(key, value)| count(key, length(value)));
            let rows = part.ranges.iter().flat_map(|(_, _, found)| found);
            rows.for_each(|(key, value)| count(key, value.len()));
        }
        self.peeks.iter().for_each(|(key, value)| count(key, length(value)));
        (keys.len(), bytes)
    }

    pub(crate) fn prepare(
        &self,
        shard: ShardId,
        coordinator: ShardId,
        (tx, age, round): (TxId, Age, u32),
    ) -> Prepare {
        let nothing = Part::default();
        let Part { gets, ranges, writes } = self.parts.get(&shard).unwrap_or(&nothing);
        let digest_key = self.digest_key;
        let range = |(from, to, found): &Rows| {
            let mut digester = digest_key.begin();
            found.iter().for_each(|(key, value)| digester.row(key, value));
            (from.clone(), to.clone(), digester.end())
        };
        Prepare {
            tx,
            age,
            round,
            coordinator,
            digest_key,
            gets: gets.iter().map(|(key, value)| (key.clone(), digest_key.value(value.as_deref()))).collect(),
            ranges: ranges.iter().map(range).collect(),
            writes: writes.clone(),
        }
    }

    pub(crate) fn commit(
        &self,
        (tx, age): (TxId, Age),
        participants: Vec<ShardId>,
        command: Bytes,
    ) -> Commit {
        let parts = || self.parts.values();
        Commit {
            tx,
            age,
            participants,
            command,
            gets: parts().flat_map(|part| &part.gets).chain(&self.peeks).cloned().collect(),
            ranges: parts().flat_map(|part| &part.ranges).cloned().collect(),
            guards: self.guards.clone(),
            digest_key: self.digest_key,
            foreign_writes: self.foreign_writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMapMut};
    use proptest::prelude::*;

    fn bytes(key: u8) -> Bytes {
        Bytes::copy_from_slice(&[key])
    }

    proptest! {
        #[test]
        fn joined_ranges_have_the_same_rows(
            there in prop::collection::btree_set(0u8..30, 0..20),
            ranges in prop::collection::vec((0u8..30, 1u8..8), 0..8),
        ) {
            let mut map = MemoryMap::default();
            there.iter().for_each(|key| map.put(&[*key], bytes(*key)));
            let row = |from: u8, to: u8| {
                let found = there.range(from..to).map(|key| (bytes(*key), bytes(*key))).collect();
                (bytes(from), bytes(to), found)
            };
            let mut rows: Vec<Rows> = ranges.iter().map(|&(from, length)| row(from, from + length)).collect();
            join(&mut rows);
            for (from, to, found) in &rows {
                prop_assert_eq!(&row(from[0], to[0]).2, found);
            }
            prop_assert!(rows.windows(2).all(|pair| pair[0].1 < pair[1].0));
            let within = |key: u8| ranges.iter().any(|&(from, length)| (from..from + length).contains(&key));
            let joined = |key: u8| rows.iter().any(|(from, to, _)| (from[0]..to[0]).contains(&key));
            prop_assert!((0..40).all(|key| within(key) == joined(key)));
        }
    }
}
