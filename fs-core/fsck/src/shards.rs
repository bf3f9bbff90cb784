//! The shards' maps as they are stored (`docs/formats/log.md`): the machine's keys of all of them as one map, and
//! what transactions have left beside.

use crate::Checked;
use crate::damage::{Findings, Kind};
use bytes::Bytes;
use cluster::SlotTable;
use map::{MapError, OrderedMap, Visit};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use types::{ShardId, Slot};

/// First byte of the host's keys, and of the machine's.
const HOST: u8 = 0;
const MACHINE: u8 = 1;
/// The only version of the host's records.
const VERSION: u8 = 1;
const MACHINE_KEY_END: [u8; 1] = [MACHINE + 1];

/// The stored maps of all shards, at a moment at which no transaction was under way.
pub struct Shards<M> {
    slots: SlotTable,
    stored: BTreeMap<ShardId, M>,
}

#[derive(Deserialize)]
struct Prepared {
    _age: (u64, u32, u64),
    coordinator: u16,
    _round: u32,
    _whole: bool,
    _reads: Vec<Bytes>,
    _ranges: Vec<(Bytes, Bytes)>,
    writes: Vec<(Bytes, Option<Bytes>)>,
}

#[derive(Deserialize)]
struct Decided {
    participants: Vec<u16>,
    _reply: Bytes,
}

#[derive(Deserialize)]
struct Executor {
    _epoch: u32,
    _floor: u64,
    _over: Vec<u64>,
}

#[derive(Deserialize)]
struct Elder {
    _age: (u64, u32, u64),
    _key: Bytes,
    _turns: u8,
}

fn decode<R: DeserializeOwned>(value: &[u8]) -> Option<R> {
    let (version, rest) = value.split_first()?;
    match postcard::take_from_bytes(rest) {
        Ok((record, [])) if *version == VERSION => Some(record),
        _ => None,
    }
}

fn slot(key: &[u8]) -> Slot {
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

/// What the host's part of one map says.
#[derive(Default)]
struct HostPart {
    prepared: BTreeMap<u128, Prepared>,
    decided: BTreeMap<u128, Decided>,
}

impl Checked {
    /// Names what transactions have left in the shards, and what stands in a shard that does not hold its slot.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn look_at_shards<M: OrderedMap>(&mut self, shards: &Shards<M>) -> Result<(), MapError> {
        let mut parts = BTreeMap::new();
        for (shard, map) in &shards.stored {
            parts.insert(*shard, host_part(&mut self.findings, *shard, map)?);
            misplaced(&mut self.findings, &shards.slots, *shard, map)?;
        }
        transactions(&mut self.findings, &parts);
        Ok(())
    }
}

fn host_part(findings: &mut Findings, shard: ShardId, map: &dyn OrderedMap) -> Result<HostPart, MapError> {
    let mut part = HostPart::default();
    map.scan(&[HOST], &[MACHINE], &mut |key, value| {
        let id = || key.get(2..)?.try_into().ok().map(u128::from_be_bytes);
        let read = match key.get(1) {
            // The mark, where the map shows it.
            None => Some(()),
            Some(b'p') => id().zip(decode(value)).map(|(id, record)| drop(part.prepared.insert(id, record))),
            Some(b'd') => id().zip(decode(value)).map(|(id, record)| drop(part.decided.insert(id, record))),
            Some(b'x') if key.len() == 6 => decode::<Executor>(value).map(drop),
            Some(b'e') if key.len() == 2 => decode::<Elder>(value).map(drop),
            Some(_) => None,
        };
        if read.is_none() {
            findings.add(Kind::Record, None, || {
                format!("the host's record at {} of shard {} cannot be read", key.escape_ascii(), shard.0)
            });
        }
        true
    })?;
    Ok(part)
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

fn shown(id: u128) -> String {
    format!("{}.{}.{}", (id >> 96) as u32, (id >> 64) as u32, id as u64)
}

fn transactions(findings: &mut Findings, parts: &BTreeMap<ShardId, HostPart>) {
    for (shard, part) in parts {
        for (id, prepared) in &part.prepared {
            let coordinator = parts.get(&ShardId(prepared.coordinator));
            let what = match coordinator.map(|part| part.decided.contains_key(id)) {
                None => "whose coordinator is no shard",
                Some(false) => "which its coordinator does not know",
                Some(true) => "which is decided and not finished",
            };
            findings.add(Kind::Transaction, None, || {
                let (id, keys) = (shown(*id), prepared.writes.len());
                format!("shard {} holds {keys} keys for transaction {id}, {what}", shard.0)
            });
        }
        for (id, decided) in &part.decided {
            let needs = |participant: &u16| {
                parts.get(&ShardId(*participant)).is_some_and(|part| part.prepared.contains_key(id))
            };
            if !decided.participants.iter().any(needs) {
                findings.add(Kind::Transaction, None, || {
                    format!(
                        "shard {} keeps a decision about transaction {} that nobody needs",
                        shard.0,
                        shown(*id)
                    )
                });
            }
        }
    }
}
