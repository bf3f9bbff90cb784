//! Inodes in use: what is known of them beyond the map.

use crate::dirty::Dirty;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, RwLock};
use types::{FileId, FsError};

const TABLES: usize = 64;

/// A file that is open or has data that wait.
pub(crate) struct Node {
    pub(crate) file: FileId,
    /// Shared by writes and opens; exclusive for what must see the file stand still: truncation,
    /// removal of the last name, changes of its extents.
    pub(crate) gate: Arc<RwLock<()>>,
    /// One write-back at a time.
    pub(crate) flushing: AsyncMutex<()>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Written since the last write-back began.
    pub(crate) dirty: Dirty,
    /// What the write-back that is under way took.
    pub(crate) in_flight: Option<Dirty>,
    /// When the oldest of `dirty` was written, on the monotonic clock.
    pub(crate) dirty_since: Option<Duration>,
    /// The change attribute that readers of data that wait have seen.
    pub(crate) change_seen: u64,
    /// Opens that hold the inode.
    pub(crate) opens: u32,
    /// It has lost its last name, and goes with its last open.
    pub(crate) orphan: bool,
    /// What the last write-back in the background met, told to the next who asks for durability.
    pub(crate) lost: Option<FsError>,
}

impl State {
    /// The end of what waits.
    pub(crate) fn end(&self) -> u64 {
        self.dirty.end.max(self.in_flight.as_ref().map_or(0, |dirty| dirty.end))
    }

    fn idle(&self) -> bool {
        self.opens == 0
            && self.dirty.is_empty()
            && self.in_flight.is_none()
            && !self.orphan
            && self.lost.is_none()
    }
}

/// The nodes in use, in many tables so that no lock is hot.
pub(crate) struct Nodes(Vec<Mutex<HashMap<FileId, Arc<Node>>>>);

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes((0..TABLES).map(|_| Mutex::default()).collect())
    }
}

impl Nodes {
    fn table(&self, file: FileId) -> &Mutex<HashMap<FileId, Arc<Node>>> {
        let mixed = (file.ino.0 ^ u64::from(file.fs.0) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.0[(mixed >> 58) as usize]
    }

    /// The node, if the inode is in use.
    pub(crate) fn find(&self, file: FileId) -> Option<Arc<Node>> {
        self.table(file).lock().get(&file).cloned()
    }

    /// The node, made if need be.
    pub(crate) fn get(&self, file: FileId) -> Arc<Node> {
        let make =
            || Node { file, gate: Arc::default(), flushing: AsyncMutex::default(), state: Mutex::default() };
        self.table(file).lock().entry(file).or_insert_with(|| Arc::new(make())).clone()
    }

    /// Drops the node if nothing holds it any more.
    pub(crate) fn release(&self, node: Arc<Node>) {
        let mut table = self.table(node.file).lock();
        // The table's and the caller's: nobody else can get one while the table is locked.
        if Arc::strong_count(&node) == 2 && node.state.lock().idle() {
            table.remove(&node.file);
        }
    }

    /// Every node.
    pub(crate) fn all(&self) -> Vec<Arc<Node>> {
        self.0.iter().flat_map(|table| table.lock().values().cloned().collect::<Vec<_>>()).collect()
    }
}

const _: () = assert!(TABLES == 1 << (64 - 58));
