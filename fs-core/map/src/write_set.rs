//! Changes not yet in the map below, seen as if they were.

use crate::{MapError, OrderedMap, OrderedMapMut, Visit};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// What happens to a key: a new value, or none.
pub type Change = Option<Bytes>;

/// The changes of one or more commands, the last one per key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet(BTreeMap<Vec<u8>, Change>);

impl WriteSet {
    /// Number of keys changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Change)> {
        self.0.iter().map(|(k, c)| (&k[..], c))
    }

    /// Records a change.
    pub fn record(&mut self, key: &[u8], change: Change) {
        self.0.insert(key.to_vec(), change);
    }

    /// Lays `later` over this set.
    pub fn merge(&mut self, later: WriteSet) {
        self.0.extend(later.0);
    }
}

/// A map with a write set over it.
pub struct Overlay<'a> {
    below: &'a dyn OrderedMap,
    changes: &'a mut WriteSet,
}

impl<'a> Overlay<'a> {
    /// Reads see `changes` over `below`; writes go to `changes`.
    pub fn new(below: &'a dyn OrderedMap, changes: &'a mut WriteSet) -> Overlay<'a> {
        Overlay { below, changes }
    }

    fn merged(&self, from: &[u8], to: &[u8], ascending: bool, visit: &mut Visit<'_>) -> Result<(), MapError> {
        if from >= to {
            return Ok(());
        }
        let range = self.changes.0.range::<[u8], _>((Included(from), Excluded(to)));
        let mut own: Box<dyn Iterator<Item = (&Vec<u8>, &Change)>> =
            if ascending { Box::new(range) } else { Box::new(range.rev()) };
        let mut next = own.next();
        let mut go_on = true;
        let mut step = |key: &[u8], value: &[u8]| {
            // Changes that come before this key of the map below, then the key itself.
            while let Some((k, change)) = next {
                let before = if ascending { k.as_slice() < key } else { k.as_slice() > key };
                let same = k.as_slice() == key;
                if !before && !same {
                    break;
                }
                next = own.next();
                if let Some(v) = change {
                    go_on = visit(k, v);
                }
                if same {
                    return go_on;
                }
                if !go_on {
                    return false;
                }
            }
            go_on = visit(key, value);
            go_on
        };
        if ascending {
            self.below.scan(from, to, &mut step)?;
        } else {
            self.below.scan_back(from, to, &mut step)?;
        }
        while go_on && let Some((k, change)) = next {
            next = own.next();
            if let Some(v) = change {
                go_on = visit(k, v);
            }
        }
        Ok(())
    }
}

impl OrderedMap for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        match self.changes.0.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.merged(from, to, true, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.merged(from, to, false, visit)
    }

    fn get_under(&self, key: &[u8], guard: &[u8]) -> Result<Option<Bytes>, MapError> {
        match self.changes.0.get(key) {
            Some(change) => Ok(change.clone()),
            None => self.below.get_under(key, guard),
        }
    }
}

impl OrderedMapMut for Overlay<'_> {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.changes.record(key, Some(value));
    }

    fn delete(&mut self, key: &[u8]) {
        self.changes.record(key, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryMap;
    use proptest::prelude::*;

    fn all(
        map: &dyn OrderedMap,
        from: &[u8],
        to: &[u8],
        ascending: bool,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut seen = Vec::new();
        let mut visit = |k: &[u8], v: &[u8]| {
            seen.push((k.to_vec(), v.to_vec()));
            seen.len() < limit
        };
        if ascending { map.scan(from, to, &mut visit) } else { map.scan_back(from, to, &mut visit) }.unwrap();
        seen
    }

    proptest! {
        #[test]
        fn an_overlay_reads_like_the_map_it_will_become(
            base in prop::collection::vec((0u8..20, any::<u8>()), 0..20),
            changes in prop::collection::vec((0u8..20, prop::option::of(any::<u8>())), 0..20),
            from in 0u8..21, to in 0u8..21, limit in 1usize..8, ascending: bool,
        ) {
            let mut below = MemoryMap::default();
            for (k, v) in base {
                below.put(&[k], Bytes::copy_from_slice(&[v]));
            }
            let mut after = below.clone();
            let mut set = WriteSet::default();
            let mut overlay = Overlay::new(&below, &mut set);
            for (k, change) in changes {
                match change {
                    Some(v) => {
                        overlay.put(&[k], Bytes::copy_from_slice(&[v]));
                        after.put(&[k], Bytes::copy_from_slice(&[v]));
                    }
                    None => {
                        overlay.delete(&[k]);
                        after.delete(&[k]);
                    }
                }
            }
            prop_assert_eq!(all(&overlay, &[from], &[to], ascending, limit), all(&after, &[from], &[to], ascending, limit));
            for k in 0u8..20 {
                prop_assert_eq!(overlay.get(&[k]).unwrap(), after.get(&[k]).unwrap());
            }
        }
    }
}
