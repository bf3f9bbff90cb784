//! Which transactions of an executor have ended in this shard: what arrives late is not taken for new.

use super::stored;
use crate::MetadataError;
use crate::transaction::{Answer, TxId, decode, encode};
use map::{OrderedMap, OrderedMapMut};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Numbers remembered one by one; beyond, the lowest becomes the floor. An executor that has more on its way
/// loses its oldest ones, which it tries again.
const OVER_MAX: usize = 4096;

/// What is known of one executor.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Known {
    epoch: u32,
    /// All of this epoch below have ended.
    floor: u64,
    /// These have, too.
    over: BTreeSet<u64>,
}

/// The record.
#[derive(Serialize, Deserialize)]
struct Stored {
    epoch: u32,
    floor: u64,
    /// Counted from the floor.
    over: Vec<u64>,
}

/// All executors that a shard has heard of: as many as a cluster has had frontends.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Executors(BTreeMap<u32, Known>);

impl Executors {
    pub(super) fn load(map: &dyn OrderedMap) -> Result<Executors, MetadataError> {
        let (from, to) = stored::all_executors();
        let mut all = Vec::new();
        map.scan(&from, &to, &mut |key, value| {
            all.push((stored::number(key).map(u32::from_be_bytes), decode::<Stored>("an executor", value)));
            true
        })?;
        let mut executors = Executors::default();
        for (executor, record) in all {
            let executor = executor.ok_or_else(|| MetadataError::Damaged("an executor's key".to_owned()))?;
            let Stored { epoch, floor, over } = record?;
            let over = over.into_iter().map(|number| floor.saturating_add(number)).collect();
            executors.0.insert(executor, Known { epoch, floor, over });
        }
        Ok(executors)
    }

    /// What to say to a transaction that has ended here.
    pub(super) fn ended(&self, tx: TxId) -> Option<Answer> {
        let known = self.0.get(&tx.executor)?;
        if tx.epoch < known.epoch {
            return Some(Answer::Fenced);
        }
        let same = tx.epoch == known.epoch;
        let over = same && (tx.number < known.floor || known.over.contains(&tx.number));
        over.then_some(Answer::Over)
    }

    #[cfg(test)]
    fn is_over(&self, tx: TxId) -> bool {
        self.ended(tx).is_some()
    }

    /// The transaction has ended here, as have all of its executor's life below `floor`.
    pub(super) fn end(&mut self, map: &mut dyn OrderedMapMut, tx: TxId, floor: u64) {
        let known = self.0.entry(tx.executor).or_default();
        if known.epoch > tx.epoch {
            return;
        }
        if known.epoch < tx.epoch {
            *known = Known { epoch: tx.epoch, ..Known::default() };
        }
        known.floor = known.floor.max(floor);
        known.over.insert(tx.number);
        if known.over.len() > OVER_MAX
            && let Some(lowest) = known.over.pop_first()
        {
            known.floor = known.floor.max(lowest.saturating_add(1));
        }
        known.over = known.over.split_off(&known.floor);
        let over = known.over.iter().map(|number| number - known.floor).collect();
        let record = Stored { epoch: known.epoch, floor: known.floor, over };
        map.put(&stored::executor(tx.executor), encode(&record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::MemoryMap;
    use proptest::prelude::*;

    fn id(executor: u32, epoch: u32, number: u64) -> TxId {
        TxId { executor, epoch, number }
    }

    proptest! {
        /// What has ended stays ended, also after the map was read anew; what is above and was not named has not.
        #[test]
        fn what_has_ended_stays_ended(
            ends in prop::collection::vec((1u32..3, 1u32..4, 0u64..40, 0u64..30), 1..40),
        ) {
            let (mut map, mut executors) = (MemoryMap::default(), Executors::default());
            let mut ended: Vec<TxId> = Vec::new();
            let mut newest = BTreeMap::new();
            for (executor, epoch, number, floor) in ends {
                executors.end(&mut map, id(executor, epoch, number), floor);
                ended.push(id(executor, epoch, number));
                let newest = newest.entry(executor).or_insert((epoch, 0));
                *newest = (*newest).max((epoch, floor));
                for tx in &ended {
                    prop_assert!(executors.is_over(*tx));
                }
                prop_assert_eq!(&Executors::load(&map).unwrap(), &executors);
            }
            for (executor, (epoch, _)) in newest {
                let fresh = id(executor, epoch, 1000);
                prop_assert!(!executors.is_over(fresh));
                prop_assert!(!executors.is_over(id(executor, epoch + 1, 0)));
                prop_assert!(executors.is_over(id(executor, epoch - 1, 1000)));
            }
        }
    }

    #[test]
    fn only_so_many_are_remembered_one_by_one() {
        let (mut map, mut executors) = (MemoryMap::default(), Executors::default());
        for number in 0..5000 {
            executors.end(&mut map, id(1, 1, 2 * number), 0);
        }
        let known = &executors.0[&1];
        assert!(known.over.len() <= OVER_MAX);
        assert!(executors.is_over(id(1, 1, 0)) && executors.is_over(id(1, 1, 9998)));
        assert!(!executors.is_over(id(1, 1, 9997)), "it may be on its way");
    }
}
