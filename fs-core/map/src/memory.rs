//! The map in memory: for tests and simulation.

use crate::{MapError, OrderedMap, OrderedMapMut, Visit};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// A `BTreeMap` behind the contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryMap(BTreeMap<Vec<u8>, Bytes>);

impl MemoryMap {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl OrderedMap for MemoryMap {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        if from < to {
            let _ = self.0.range::<[u8], _>((Included(from), Excluded(to))).all(|(k, v)| visit(k, v));
        }
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        if from < to {
            let _ = self.0.range::<[u8], _>((Included(from), Excluded(to))).rev().all(|(k, v)| visit(k, v));
        }
        Ok(())
    }
}

impl OrderedMapMut for MemoryMap {
    fn put(&mut self, key: &[u8], value: Bytes) {
        self.0.insert(key.to_vec(), value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}
