//! Keys and values as they stand in a map, read by who trusts them least: fsck.

use super::commands;
use crate::parts::{Parts, joined};
use bytes::Bytes;
use map::{MemoryMap, OrderedMap, OrderedMapMut};
use std::collections::BTreeMap;

pub(crate) fn run(bytes: &[u8]) {
    let mut map = MemoryMap::default();
    let mut parts = Parts(bytes);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        map.put(key, Bytes::copy_from_slice(value));
    }
    check(&map);
}

/// Damage is what a report is for; only a map that cannot be read is an error.
pub(crate) fn check(map: &MemoryMap) {
    let _ = sim::checked::checked(map, &BTreeMap::new());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let as_parts = |map: &MemoryMap| {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let _ = map.scan(&[], &[0xFF; 64], &mut |key, value| {
            parts.extend([key.to_vec(), value.to_vec()]);
            true
        });
        joined(parts)
    };
    commands::maps().iter().map(as_parts).collect()
}
