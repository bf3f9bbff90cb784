//! What transactions have left in the shards (`docs/formats/transactions.md`), and whether the shards agree about it.

use crate::damage::{Findings, Kind};
use crate::shards::{MACHINE, slot};
use bytes::Bytes;
use cluster::SlotTable;
use map::{MapError, OrderedMap};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use types::ShardId;

/// First byte of the host's keys.
const HOST: u8 = 0;
/// The only version of the host's records.
const VERSION: u8 = 1;

#[derive(Deserialize)]
struct Prepared {
    _age: (u64, u32, u64),
    coordinator: u16,
    _round: u32,
    whole: bool,
    reads: Vec<Bytes>,
    ranges: Vec<(Bytes, Bytes)>,
    writes: Vec<(Bytes, Option<Bytes>)>,
}

#[derive(Deserialize)]
struct Decided {
    participants: Vec<u16>,
    _reply: Bytes,
}

#[derive(Deserialize)]
struct Executor {
    epoch: u32,
    floor: u64,
    /// Counted from the floor.
    over: Vec<u64>,
}

#[derive(Deserialize)]
struct Elder {
    _age: (u64, u32, u64),
    _key: Bytes,
    _turns: u8,
    _held_back: Vec<(u64, u32, u64)>,
}

/// `executor u32, epoch u32, number u64`.
type Id = u128;

fn shown(id: Id) -> String {
    format!("{}.{}.{}", (id >> 96) as u32, (id >> 64) as u32, id as u64)
}

fn decode<R: DeserializeOwned>(value: &[u8]) -> Option<R> {
    let (version, rest) = value.split_first()?;
    match postcard::take_from_bytes(rest) {
        Ok((record, [])) if *version == VERSION => Some(record),
        _ => None,
    }
}

/// What the host's part of one map says.
#[derive(Default)]
pub(crate) struct HostPart {
    prepared: BTreeMap<Id, Prepared>,
    decided: BTreeMap<Id, Decided>,
    executors: BTreeMap<u32, Executor>,
}

impl HostPart {
    pub(crate) fn read(
        findings: &mut Findings,
        shard: ShardId,
        map: &dyn OrderedMap,
    ) -> Result<HostPart, MapError> {
        let mut part = HostPart::default();
        map.scan(&[HOST], &[MACHINE], &mut |key, value| {
            if part.take(key, value).is_none() {
                findings.add(Kind::Record, None, || {
                    format!("the host's record at {} of shard {} cannot be read", key.escape_ascii(), shard.0)
                });
            }
            true
        })?;
        Ok(part)
    }

    /// `None` when it cannot be read.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let id = || key.get(2..)?.try_into().ok().map(Id::from_be_bytes);
        match key.get(1) {
            // The mark, where the map shows it.
            None => {}
            Some(b'p') => drop(self.prepared.insert(id()?, decode(value)?)),
            Some(b'd') => drop(self.decided.insert(id()?, decode(value)?)),
            Some(b'x') => {
                let executor = u32::from_be_bytes(key.get(2..)?.try_into().ok()?);
                self.executors.insert(executor, decode(value)?);
            }
            Some(b'e') if key.len() == 2 => drop(decode::<Elder>(value)?),
            Some(_) => return None,
        }
        Some(())
    }

    /// Whether a transaction has ended here: by epoch, by floor, or by number.
    fn has_ended(&self, id: Id) -> bool {
        let (epoch, number) = ((id >> 64) as u32, id as u64);
        let Some(known) = self.executors.get(&((id >> 96) as u32)) else { return false };
        let by_number = |floor: u64| number < floor || known.over.contains(&(number - floor));
        epoch < known.epoch || epoch == known.epoch && by_number(known.floor)
    }
}

type Parts = BTreeMap<ShardId, HostPart>;

/// Names what is left of transactions, and where the shards do not agree about one.
pub(crate) fn compare(findings: &mut Findings, slots: &SlotTable, parts: &Parts) {
    for (shard, part) in parts {
        let mut writers = BTreeMap::new();
        for (id, prepared) in &part.prepared {
            look_at_prepared(findings, parts, *shard, *id);
            look_at_keys(findings, slots, (*shard, *id), prepared);
            for (key, _) in &prepared.writes {
                if let Some(other) = writers.insert(key, *id) {
                    add(findings, *shard, *id, || {
                        let (key, other) = (key.escape_ascii(), shown(other));
                        format!("is about to write {key}, as is transaction {other}")
                    });
                }
            }
        }
        part.decided.keys().for_each(|id| look_at_decided(findings, parts, *shard, *id));
    }
}

fn add(findings: &mut Findings, shard: ShardId, id: Id, what: impl FnOnce() -> String) {
    findings.add(Kind::Transaction, None, || {
        format!("in shard {}, transaction {} {}", shard.0, shown(id), what())
    });
}

fn look_at_prepared(findings: &mut Findings, parts: &Parts, shard: ShardId, id: Id) {
    let Some(part) = parts.get(&shard) else { return };
    let Some(prepared) = part.prepared.get(&id) else { return };
    let coordinator = ShardId(prepared.coordinator);
    let decided = parts.get(&coordinator).map(|part| part.decided.get(&id));
    let what = match decided {
        None => "whose coordinator is no shard",
        Some(None) => "which its coordinator does not know",
        Some(Some(_)) => "which is decided and not finished",
    };
    add(findings, shard, id, || format!("holds {} keys, {what}", prepared.writes.len()));
    if coordinator == shard {
        add(findings, shard, id, || "is prepared by its own coordinator".to_owned());
    }
    if part.has_ended(id) {
        add(findings, shard, id, || "is prepared and has ended".to_owned());
    }
    let Some(Some(decided)) = decided else { return };
    if !prepared.whole {
        add(findings, shard, id, || "is decided, and was not prepared as a whole".to_owned());
    }
    if !decided.participants.contains(&shard.0) {
        add(findings, shard, id, || "is decided without this shard".to_owned());
    }
}

/// Everything that is locked must be the shard's.
fn look_at_keys(findings: &mut Findings, slots: &SlotTable, (shard, id): (ShardId, Id), prepared: &Prepared) {
    let ranges = prepared.ranges.iter().map(|(from, _)| from);
    let keys = prepared.reads.iter().chain(prepared.writes.iter().map(|(key, _)| key)).chain(ranges);
    for key in keys.filter(|key| slots.shard(slot(key)) != shard) {
        add(findings, shard, id, || {
            format!("holds {}, of a slot that is another shard's", key.escape_ascii())
        });
    }
}

fn look_at_decided(findings: &mut Findings, parts: &Parts, shard: ShardId, id: Id) {
    let Some(decided) = parts.get(&shard).and_then(|part| part.decided.get(&id)) else { return };
    let mut is_needed = false;
    for participant in decided.participants.iter().copied().map(ShardId) {
        let part = parts.get(&participant).filter(|_| participant != shard);
        let Some(part) = part else {
            is_needed = true;
            add(findings, shard, id, || {
                format!("is decided with shard {}, which can be no part of it", participant.0)
            });
            continue;
        };
        let (is_prepared, has_ended) = (part.prepared.contains_key(&id), part.has_ended(id));
        is_needed |= is_prepared || !has_ended;
        if !is_prepared && !has_ended {
            add(findings, shard, id, || format!("is decided, and shard {} has lost its part", participant.0));
        }
    }
    if !is_needed {
        add(findings, shard, id, || "is decided, and nobody needs to know".to_owned());
    }
}
