//! Directories that are gone but that processes still have open, or are in.
//!
//! The file system forgets a directory with its name. The kernel lets nobody look up or list anything in one, but asks for
//! its attributes, which tell a process that it has no name any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::{Attr, FileId};

/// Directories remembered at once; beyond, the kernel hears that they are stale.
const REMEMBERED_MAX: usize = 65_536;

/// What was said last of each.
#[derive(Default)]
pub(crate) struct Gone {
    table: Mutex<HashMap<FileId, Attr>>,
}

impl Gone {
    /// A directory is gone. To be noted before the kernel hears of it: from then on it may forget it.
    pub(crate) fn note(&self, attr: Attr) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() < REMEMBERED_MAX {
            table.insert(attr.file, attr);
        }
    }

    /// What was said last of a directory that is gone.
    pub(crate) fn attr(&self, file: FileId) -> Option<Attr> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).get(&file).cloned()
    }

    /// The kernel has nothing of it any more.
    pub(crate) fn forget(&self, file: FileId) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }
}
