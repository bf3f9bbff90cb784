//! Which lock owners came through which open, because only some of their ends are announced.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use types::{FileId, FsError};

/// Owners remembered at once; beyond, locks are refused.
const OWNERS_MAX: usize = 65_536;

#[derive(Default)]
struct Table {
    /// Who may hold something on which file.
    holders: HashSet<(FileId, u64)>,
    /// Through which open they took it.
    through: HashMap<u64, HashSet<u64>>,
}

/// The owners that may hold locks.
#[derive(Default)]
pub(crate) struct Lockers {
    table: Mutex<Table>,
}

impl Lockers {
    /// An owner is about to take a lock through an open.
    pub(crate) fn note(&self, file: FileId, owner: u64, open: u64) -> Result<(), FsError> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.holders.len() >= OWNERS_MAX && !table.holders.contains(&(file, owner)) {
            return Err(FsError::NoSpace);
        }
        table.holders.insert((file, owner));
        table.through.entry(open).or_default().insert(owner);
        Ok(())
    }

    /// A descriptor of `owner` on `file` closes: whether there may be locks to give up.
    pub(crate) fn closes(&self, file: FileId, owner: u64) -> bool {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).holders.remove(&(file, owner))
    }

    /// An open ends: the owners that took locks through it and may still hold them.
    pub(crate) fn ends(&self, file: FileId, open: u64) -> Vec<u64> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let owners = table.through.remove(&open).unwrap_or_default();
        owners.into_iter().filter(|owner| table.holders.remove(&(file, *owner))).collect()
    }
}
