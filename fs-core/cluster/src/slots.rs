//! Which shard holds which slot: a pure function, the same for everybody who has the same map.

use crate::MapError;
use serde::{Deserialize, Serialize};
use types::{ShardId, Slot};

/// Most shards of a cluster.
pub const SHARDS_MAX: u16 = 4096;

/// The slots from `first` to the next one's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    first: Slot,
    shard: ShardId,
}

/// The shards of all 65,536 slots. It is fixed when a cluster is made: moving slots between shards is not there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotTable(Vec<Run>);

impl SlotTable {
    /// As many shards as told, each with an even share of the slots in one run.
    ///
    /// # Errors
    /// [`MapError::Bad`] for none or more than [`SHARDS_MAX`].
    pub fn even(shards: u16) -> Result<SlotTable, MapError> {
        if shards == 0 || shards > SHARDS_MAX {
            return Err(MapError::Bad(format!("{shards} shards")));
        }
        // Below 65,536, as `shard` is below `shards`.
        let first = |shard: u16| Slot((u32::from(shard) * 65_536 / u32::from(shards)) as u16);
        let run = |shard| Run { first: first(shard), shard: ShardId(shard) };
        Ok(SlotTable((0..shards).map(run).collect()))
    }

    /// Whether every slot has one shard.
    ///
    /// # Errors
    /// [`MapError::Bad`] says what is wrong.
    pub fn validate(&self) -> Result<(), MapError> {
        let begins = self.0.first().is_some_and(|run| run.first == Slot(0));
        let ascends = self.0.windows(2).all(|pair| pair[0].first < pair[1].first);
        let known = self.0.iter().all(|run| run.shard.0 < SHARDS_MAX);
        if begins && ascends && known {
            Ok(())
        } else {
            Err(MapError::Bad("slots without a shard, or with two".to_owned()))
        }
    }

    /// The shard of a slot.
    #[must_use]
    pub fn shard(&self, slot: Slot) -> ShardId {
        let after = self.0.partition_point(|run| run.first <= slot);
        // The first run begins at slot 0.
        self.0.get(after.saturating_sub(1)).map_or(ShardId(0), |run| run.shard)
    }

    /// Whether one shard holds all slots from `first` to `last`: which.
    #[must_use]
    pub fn shard_of_all(&self, first: Slot, last: Slot) -> Option<ShardId> {
        let shard = self.shard(first);
        let within = self.0.iter().filter(|run| first < run.first && run.first <= last);
        within.clone().all(|run| run.shard == shard).then_some(shard)
    }

    /// All shards, each once, in order of number.
    #[must_use]
    pub fn shards(&self) -> Vec<ShardId> {
        let mut all: Vec<ShardId> = self.0.iter().map(|run| run.shard).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Runs of slots of one shard, in order: first, last, shard.
    pub fn runs(&self) -> impl Iterator<Item = (Slot, Slot, ShardId)> + '_ {
        let lasts = self.0.iter().skip(1).map(|run| Slot(run.first.0.saturating_sub(1)));
        let lasts = lasts.chain(std::iter::once(Slot(u16::MAX)));
        self.0.iter().zip(lasts).map(|(run, last)| (run.first, last, run.shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_shard_and_shares_are_even() {
        for shards in [1, 2, 3, 16, 17, SHARDS_MAX] {
            let table = SlotTable::even(shards).unwrap();
            table.validate().unwrap();
            let mut counts = vec![0u32; usize::from(shards)];
            for slot in 0..=u16::MAX {
                counts[usize::from(table.shard(Slot(slot)).0)] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{shards}: {least} to {most}");
            for (first, last, shard) in table.runs() {
                assert_eq!((table.shard(first), table.shard(last)), (shard, shard));
                assert_eq!(table.shard_of_all(first, last), Some(shard));
                let beyond = last.0.checked_add(1).map(Slot);
                assert!(beyond.is_none_or(|beyond| table.shard_of_all(first, beyond).is_none()));
            }
            assert_eq!(table.shards().len(), usize::from(shards));
        }
        assert!(SlotTable::even(0).is_err() && SlotTable::even(SHARDS_MAX + 1).is_err());
    }

    #[test]
    fn a_table_with_holes_is_refused() {
        let table = |runs: &[(u16, u16)]| {
            SlotTable(runs.iter().map(|&(f, s)| Run { first: Slot(f), shard: ShardId(s) }).collect())
        };
        assert!(table(&[]).validate().is_err());
        assert!(table(&[(1, 0)]).validate().is_err());
        assert!(table(&[(0, 0), (9, 1), (9, 2)]).validate().is_err());
        assert!(table(&[(0, 0), (9, SHARDS_MAX)]).validate().is_err());
        assert!(table(&[(0, 0), (9, 1), (20, 0)]).validate().is_ok());
    }

    #[test]
    fn it_is_recorded_as_runs() {
        let table = SlotTable::even(2).unwrap();
        let json = serde_json::to_string(&table).unwrap();
        assert_eq!(json, r#"[{"first":0,"shard":0},{"first":32768,"shard":1}]"#);
        assert_eq!(serde_json::from_str::<SlotTable>(&json).unwrap(), table);
    }
}
