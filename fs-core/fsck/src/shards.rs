//! The shards' maps as they are stored (`docs/formats/log.md`): the machine's keys of all of them as one map, and
//! what transactions have left beside.

use crate::Checked;
use crate::damage::{Findings, Kind};
use crate::transactions::{self, HostPart};
use bytes::Bytes;
use cluster::SlotTable;
use map::{MapError, OrderedMap, Visit};
use std::collections::BTreeMap;
use types::{ShardId, Slot};

/// First byte of the machine's keys.
pub(crate) const MACHINE: u8 = 1;
const MACHINE_KEY_END: [u8; 1] = [MACHINE + 1];

/// The stored maps of all shards, at a moment at which no transaction was under way.
pub struct Shards<M> {
    slots: SlotTable,
    stored: BTreeMap<ShardId, M>,
}

pub(crate) fn slot(key: &[u8]) -> Slot {
    let byte = |at: usize| key.get(at).copied().unwrap_or(0);
    Slot(u16::from_be_bytes([byte(0), byte(1)]))
}

fn stored(key: &[u8]) -> Vec<u8> {
    [&[MACHINE], key].concat()
}

impl<M: OrderedMap> Shards<M> {
    /// Of these maps, one for each shard that `slots` names.
    ///
    /// # Errors
    /// When one is missing.
    pub fn new(slots: SlotTable, stored: BTreeMap<ShardId, M>) -> Result<Shards<M>, MapError> {
        match slots.shards().into_iter().find(|shard| !stored.contains_key(shard)) {
            Some(shard) => Err(MapError::Away(format!("shard {} is missing", shard.0))),
            None => Ok(Shards { slots, stored }),
        }
    }

    fn of(&self, shard: ShardId) -> Result<&M, MapError> {
        self.stored.get(&shard).ok_or_else(|| MapError::Away(format!("shard {} is missing", shard.0)))
    }

    fn walk(&self, from: &[u8], to: &[u8], ascending: bool, visit: &mut Visit<'_>) -> Result<(), MapError> {
        let mut runs: Vec<(Slot, Slot, ShardId)> = self.slots.runs().collect();
        if !ascending {
            runs.reverse();
        }
        let mut go_on = true;
        for (first, last, shard) in runs {
            let begin = first.0.to_be_bytes();
            let end = last.0.checked_add(1).map_or(vec![0xff; 64], |after| after.to_be_bytes().to_vec());
            let (from, to) = (from.max(&begin), to.min(&end));
            if from >= to || !go_on {
                continue;
            }
            let mut visit = |key: &[u8], value: &[u8]| {
                go_on = visit(&key[1..], value);
                go_on
            };
            let map = self.of(shard)?;
            match ascending {
                true => map.scan(&stored(from), &stored(to), &mut visit)?,
                false => map.scan_back(&stored(from), &stored(to), &mut visit)?,
            }
        }
        Ok(())
    }
}

impl<M: OrderedMap> OrderedMap for Shards<M> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.of(self.slots.shard(slot(key)))?.get(&stored(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, true, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.walk(from, to, false, visit)
    }
}

impl Checked {
    /// Names what transactions have left in the shards, and what stands in a shard that does not hold its slot.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn look_at_shards<M: OrderedMap>(&mut self, shards: &Shards<M>) -> Result<(), MapError> {
        let mut parts = BTreeMap::new();
        for (shard, map) in &shards.stored {
            parts.insert(*shard, HostPart::read(&mut self.findings, *shard, map)?);
            misplaced(&mut self.findings, &shards.slots, *shard, map)?;
        }
        transactions::compare(&mut self.findings, &shards.slots, &parts);
        Ok(())
    }
}

/// Keys of the machine that no look comes to, as their slot is another shard's.
fn misplaced(
    findings: &mut Findings,
    slots: &SlotTable,
    shard: ShardId,
    map: &dyn OrderedMap,
) -> Result<(), MapError> {
    let mut name = |key: &[u8], _: &[u8]| {
        findings.add(Kind::Record, None, || {
            format!(
                "the record at {} is in shard {}, which does not hold its slot",
                key.escape_ascii(),
                shard.0
            )
        });
        true
    };
    for (first, last, _) in slots.runs().filter(|(.., holder)| *holder != shard) {
        let from = stored(&first.0.to_be_bytes());
        let to = last.0.checked_add(1).map_or(MACHINE_KEY_END.to_vec(), |after| stored(&after.to_be_bytes()));
        map.scan(&from, &to, &mut name)?;
    }
    map.scan(&MACHINE_KEY_END, &[0xff; 64], &mut name)
}
