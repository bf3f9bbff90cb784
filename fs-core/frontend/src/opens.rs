//! Opens: who may do what with which file.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{FileId, FsError, FsId};
use vfs::{ClientId, OpenAccess, OpenId};

/// An open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileId,
    pub(crate) client: ClientId,
    pub(crate) access: OpenAccess,
}

/// All opens of this frontend.
pub(crate) struct Opens {
    next: AtomicU64,
    table: Mutex<HashMap<OpenId, Opened>>,
}

impl Default for Opens {
    fn default() -> Opens {
        Opens { next: AtomicU64::new(1), table: Mutex::default() }
    }
}

impl Opens {
    /// A name for an open that is about to be.
    pub(crate) fn next(&self) -> OpenId {
        OpenId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn add(&self, id: OpenId, opened: Opened) {
        self.table.lock().insert(id, opened);
    }

    pub(crate) fn remove(&self, id: OpenId) -> Result<Opened, FsError> {
        self.table.lock().remove(&id).ok_or(FsError::BadOpen)
    }

    /// The open, if it is one of `file`.
    pub(crate) fn of(&self, id: OpenId, file: FileId) -> Result<Opened, FsError> {
        self.find(id).and_then(|opened| if opened.file == file { Ok(opened) } else { Err(FsError::BadOpen) })
    }

    pub(crate) fn find(&self, id: OpenId) -> Result<Opened, FsError> {
        self.table.lock().get(&id).copied().ok_or(FsError::BadOpen)
    }

    pub(crate) fn change(&self, id: OpenId, access: OpenAccess) {
        if let Some(opened) = self.table.lock().get_mut(&id) {
            opened.access = access;
        }
    }

    /// How many are of files of a filesystem.
    pub(crate) fn count_of(&self, fs: FsId) -> usize {
        self.table.lock().values().filter(|opened| opened.file.fs == fs).count()
    }

    /// All of a client.
    pub(crate) fn of_client(&self, client: ClientId) -> Vec<OpenId> {
        let table = self.table.lock();
        let of_client = table.iter().filter(|(_, opened)| opened.client == client);
        let mut ids: Vec<OpenId> = of_client.map(|(id, _)| *id).collect();
        // Not in the table's order, which no seed repeats.
        ids.sort_unstable();
        ids
    }
}
