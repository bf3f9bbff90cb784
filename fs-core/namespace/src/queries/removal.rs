//! Filesystems that are being removed, and what is left of them.

use super::Answer;
use crate::keys::{self, kind};
use crate::records::{Counters, Record, Removal};
use map::{MapError, OrderedMap};
use types::{FsId, Slot};

/// What a slot has of a filesystem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// The slot.
    pub slot: Slot,
    /// An inode may be there, or come.
    pub open: bool,
    /// Nothing is there but what its counters say, and stripes whose chunks have not been freed yet.
    pub only_garbage: bool,
}

/// Filesystems that are being removed.
///
/// # Errors
/// Those of the map.
pub fn removals(map: &dyn OrderedMap) -> Answer<Vec<(FsId, Removal)>> {
    let (mut found, mut outcome) = (Vec::new(), Ok(()));
    let (from, to) = keys::removals();
    map.scan(&from, &to, &mut |key, value| {
        let one = keys::removal_of(key).ok_or_else(|| MapError::Broken("a removal without a number".into()));
        outcome = one.and_then(|fs| Removal::decode(value).map(|record| found.push((fs, record))));
        outcome.is_ok()
    })?;
    outcome?;
    Ok(found)
}

/// What is left of a filesystem in a slot, if anything is.
///
/// # Errors
/// Those of the map.
pub fn left_in(map: &dyn OrderedMap, fs: FsId, slot: Slot) -> Answer<Option<Left>> {
    let (first, end) = keys::all_in(fs, slot);
    if any(map, &first, &end)? { in_slot(map, fs, slot).map(Some) } else { Ok(None) }
}

fn in_slot(map: &dyn OrderedMap, fs: FsId, slot: Slot) -> Answer<Left> {
    let counters = map.get(&keys::counters(fs, slot))?.map(|value| Counters::decode(&value)).transpose()?;
    let (inodes, behind_inodes) = keys::all_of(fs, slot, kind::INODE);
    let open = counters.is_none_or(|counters| !counters.closed) || any(map, &inodes, &behind_inodes)?;
    let (garbage, behind) = keys::all_of(fs, slot, kind::GARBAGE);
    let others = any(map, &inodes, &garbage)? || any(map, &behind, &keys::all_in(fs, slot).1)?;
    Ok(Left { slot, open, only_garbage: !others && any(map, &garbage, &behind)? })
}

fn any(map: &dyn OrderedMap, from: &[u8], to: &[u8]) -> Result<bool, MapError> {
    let mut any = false;
    map.scan(from, to, &mut |_, _| {
        any = true;
        false
    })?;
    Ok(any)
}
