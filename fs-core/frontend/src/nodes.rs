//! Inodes in use: what is known of them beyond the map.

use crate::dirty::Dirty;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, RwLock};
use types::{FileId, FsError, FsId, RequestId};

const TABLES: usize = 64;

/// A file that is open or has data that wait.
pub(crate) struct Node {
    pub(crate) file: FileId,
    /// Shared by writes and opens; exclusive for what must see the file stand still: truncation,
    /// removal of the last name, changes of its extents.
    pub(crate) gate: Arc<RwLock<()>>,
    /// One write-back at a time.
    pub(crate) flushing: Arc<AsyncMutex<()>>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    /// Written since the last write-back began.
    pub(crate) dirty: Dirty,
    /// What the write-back that is under way took.
    pub(crate) in_flight: Option<Dirty>,
    /// Bytes on drives that both have been promised.
    pub(crate) promised: u64,
    /// When the oldest of `dirty` was written, on the monotonic clock.
    pub(crate) dirty_since: Option<Duration>,
    /// Write-backs that have failed since the last that did not.
    pub(crate) failures: u32,
    /// A write-back is in the queue.
    pub(crate) queued: bool,
    /// The change attribute that readers of data that wait have seen.
    pub(crate) change_seen: u64,
    /// The change attribute that the last write-back left in the map.
    pub(crate) change_kept: u64,
    /// Counts what was added to what waits, or cut off it.
    pub(crate) changes: u64,
    /// Counts the ends of write-backs: what waited may be in the map since.
    pub(crate) left: u64,
    /// Opens that hold the inode.
    pub(crate) opens: u32,
    /// It has lost its last name, and goes with its last open.
    pub(crate) orphan: bool,
}

impl State {
    /// The end of what waits.
    pub(crate) fn end(&self) -> u64 {
        self.dirty.end.max(self.in_flight.as_ref().map_or(0, |dirty| dirty.end))
    }

    /// Where an append that waits went.
    ///
    /// # Errors
    /// [`FsError::StaleRequest`] when its channel has gone on since.
    pub(crate) fn offset_of(&self, request: &RequestId) -> Result<Option<u64>, FsError> {
        match (self.dirty.offset_of(request)?, &self.in_flight) {
            (None, Some(taken)) => taken.offset_of(request),
            (found, _) => Ok(found),
        }
    }

    /// Changes with what waits.
    pub(crate) fn turn(&self) -> u64 {
        self.changes + self.left
    }

    /// Changes when what waited may have gone.
    pub(crate) fn turn_of_write_backs(&self) -> u64 {
        self.left
    }

    /// Whether nothing waits to be written back.
    pub(crate) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.in_flight.is_none() && self.change_seen <= self.change_kept
    }

    /// The inode has been changed in the map: readers of data that wait must see its change attribute move
    /// too. What they saw before and see now comes back.
    pub(crate) fn note_change(&mut self) -> (u64, u64) {
        let before = self.change_seen;
        self.change_seen += u64::from(before > 0);
        (before, self.change_seen)
    }

    fn idle(&self) -> bool {
        self.opens == 0 && self.is_clean() && !self.orphan
    }
}

type Table = Mutex<HashMap<FileId, Arc<Node>>>;

/// The nodes in use, in many tables so that no lock is hot.
pub(crate) struct Nodes(Vec<Arc<Table>>);

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes((0..TABLES).map(|_| Arc::default()).collect())
    }
}

/// A node in use; the table forgets it with the last of these when nothing is left to know. Must not be
/// dropped while the node's state is locked.
pub(crate) struct Held {
    /// Only [`Drop`] takes it.
    node: Option<Arc<Node>>,
    table: Arc<Table>,
}

impl Clone for Held {
    fn clone(&self) -> Held {
        Held { node: self.node.clone(), table: self.table.clone() }
    }
}

impl Deref for Held {
    type Target = Node;

    fn deref(&self) -> &Node {
        #[expect(clippy::expect_used, reason = "the node is only taken when this is dropped")]
        self.node.as_deref().expect("a node is held")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(node) = self.node.take() else { return };
        let mut table = self.table.lock();
        // The table's and this: nobody else can get one while the table is locked.
        if Arc::strong_count(&node) == 2 && node.state.lock().idle() {
            table.remove(&node.file);
        }
        // Before the table is unlocked, so that the next to drop its own counts right.
        drop(node);
    }
}

impl Nodes {
    fn table(&self, file: FileId) -> &Arc<Table> {
        let mixed = (file.ino.0 ^ u64::from(file.fs.0) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.0[(mixed >> 58) as usize]
    }

    /// The node, if the inode is in use.
    pub(crate) fn find(&self, file: FileId) -> Option<Held> {
        let table = self.table(file);
        let node = table.lock().get(&file).cloned()?;
        Some(Held { node: Some(node), table: table.clone() })
    }

    /// The node, made if need be.
    pub(crate) fn get(&self, file: FileId) -> Held {
        let make = || Node { file, gate: Arc::default(), flushing: Arc::default(), state: Mutex::default() };
        let table = self.table(file);
        let node = table.lock().entry(file).or_insert_with(|| Arc::new(make())).clone();
        Held { node: Some(node), table: table.clone() }
    }

    /// Every node that `which` chooses.
    pub(crate) fn chosen(&self, which: impl Fn(&State) -> bool) -> Vec<Held> {
        let mut chosen = Vec::new();
        for table in &self.0 {
            for node in table.lock().values().filter(|node| which(&node.state.lock())) {
                chosen.push(Held { node: Some(node.clone()), table: table.clone() });
            }
        }
        // Not in the tables' order, which no seed repeats.
        chosen.sort_unstable_by_key(|held| held.file);
        chosen
    }

    /// Every node of a filesystem.
    pub(crate) fn of(&self, fs: FsId) -> Vec<Held> {
        let mut all = self.chosen(|_| true);
        all.retain(|node| node.file.fs == fs);
        all
    }

    /// Number of nodes.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|table| table.lock().len()).sum()
    }
}

const _: () = assert!(TABLES == 1 << (64 - 58));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_goes_with_its_last_holder_when_nothing_is_left_to_know() {
        let nodes = Nodes::default();
        let file = FileId::root(FsId(1));
        let (one, two) = (nodes.get(file), nodes.get(file));
        drop(one);
        two.state.lock().opens = 1;
        drop(two);
        assert_eq!(nodes.count(), 1, "it is open");
        nodes.get(file).state.lock().opens = 0;
        assert_eq!(nodes.count(), 0);
        assert!(nodes.find(file).is_none());
    }
}
