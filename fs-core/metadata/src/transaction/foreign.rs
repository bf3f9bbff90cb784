//! What a coordinator knows of other shards: what the transaction has locked there.

use super::Rows;
use bytes::Bytes;
use map::Visit;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// A part of other shards' maps: keys and ranges that are known, and nothing else.
pub(crate) struct Foreign {
    gets: BTreeMap<Bytes, Option<Bytes>>,
    ranges: Vec<(Bytes, Bytes)>,
    rows: BTreeMap<Bytes, Bytes>,
}

/// The answer is in none of the known parts.
pub(crate) struct Unknown;

impl Foreign {
    pub(crate) fn new(gets: Vec<(Bytes, Option<Bytes>)>, ranges: Vec<Rows>) -> Foreign {
        let mut foreign =
            Foreign { gets: gets.into_iter().collect(), ranges: Vec::new(), rows: BTreeMap::new() };
        for (from, to, found) in ranges {
            foreign.ranges.push((from, to));
            foreign.rows.extend(found);
        }
        foreign
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Unknown> {
        if let Some(value) = self.gets.get(key) {
            return Ok(value.clone());
        }
        let known = self.ranges.iter().any(|(from, to)| from <= key && key < to);
        if known { Ok(self.rows.get(key).cloned()) } else { Err(Unknown) }
    }

    /// Visits in ascending order, from range to range.
    pub(crate) fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Unknown> {
        let mut at = from;
        while at < to {
            let reaching = self.ranges.iter().filter(|(from, to)| from <= at && at < to);
            let (_, end) = reaching.max_by_key(|(_, to)| to).ok_or(Unknown)?;
            let end = to.min(end);
            for (key, value) in self.rows.range::<[u8], _>((Included(at), Excluded(end))) {
                if !visit(key, value) {
                    return Ok(());
                }
            }
            at = end;
        }
        Ok(())
    }

    /// Visits in descending order, from range to range.
    pub(crate) fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), Unknown> {
        let mut at = to;
        while from < at {
            let reaching = self.ranges.iter().filter(|(from, to)| from < at && at <= to);
            let (begin, _) = reaching.min_by_key(|(from, _)| from).ok_or(Unknown)?;
            let begin = from.max(begin);
            for (key, value) in self.rows.range::<[u8], _>((Included(begin), Excluded(at))).rev() {
                if !visit(key, value) {
                    return Ok(());
                }
            }
            at = begin;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMap, OrderedMapMut, Recorder};
    use proptest::prelude::*;

    fn bytes(key: u8) -> Bytes {
        Bytes::copy_from_slice(&[key])
    }

    fn heard(ask: impl FnOnce(&mut Visit<'_>), limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut heard = Vec::new();
        ask(&mut |key, value| {
            heard.push((key.to_vec(), value.to_vec()));
            heard.len() < limit
        });
        heard
    }

    proptest! {
        /// What was recorded of a map answers as the map did; what it does not know it does not answer.
        #[test]
        fn it_answers_as_the_map_or_not_at_all(
            pairs in prop::collection::vec((0u8..16, any::<u8>()), 0..12),
            recorded in prop::collection::vec((0u8..17, 0u8..17, 1usize..4, any::<bool>()), 0..5),
            gets in prop::collection::vec(0u8..16, 0..3),
            (from, to, limit, back) in (0u8..17, 0u8..17, 1usize..5, any::<bool>()),
        ) {
            let mut map = MemoryMap::default();
            for (key, value) in pairs {
                map.put(&[key], bytes(value));
            }
            let recorder = Recorder::new(&map);
            let scan = |map: &dyn OrderedMap, from: u8, to: u8, limit, back| heard(|visit| {
                if back { map.scan_back(&[from], &[to], visit) } else { map.scan(&[from], &[to], visit) }.unwrap();
            }, limit);
            for (from, to, limit, back) in &recorded {
                scan(&recorder, *from, *to, *limit, *back);
            }
            for key in &gets {
                recorder.get(&[*key]).unwrap();
            }
            let reads = recorder.into_reads();
            let rows = |found: Vec<(Vec<u8>, Bytes)>| found.into_iter().map(|(k, v)| (k.into(), v)).collect();
            let ranges = reads.ranges.into_iter().map(|r| (r.from.into(), r.to.into(), rows(r.found))).collect();
            let foreign = Foreign::new(reads.gets.into_iter().map(|(k, v)| (k.into(), v)).collect(), ranges);
            for key in 0..17 {
                match foreign.get(&[key]) {
                    Ok(value) => prop_assert_eq!(value, map.get(&[key]).unwrap()),
                    Err(Unknown) => prop_assert!(!gets.contains(&key)),
                }
            }
            let mut known = true;
            let got = heard(|visit| {
                known = if back { foreign.scan_back(&[from], &[to], visit) } else { foreign.scan(&[from], &[to], visit) }.is_ok();
            }, limit);
            if known {
                prop_assert_eq!(got, scan(&map, from, to, limit, back));
            }
            // The very scans that were recorded are known.
            for (from, to, limit, back) in recorded {
                let mut known = true;
                let got = heard(|visit| {
                    known = if back { foreign.scan_back(&[from], &[to], visit) } else { foreign.scan(&[from], &[to], visit) }.is_ok();
                }, limit);
                prop_assert!(known);
                prop_assert_eq!(got, scan(&map, from, to, limit, back));
            }
        }
    }
}
