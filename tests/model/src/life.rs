//! The life of the file system as a whole: its capacity, its restarts.

use crate::inode::Body;
use crate::state::State;
use vfs::StatFsReply;

/// What the model claims to have.
const TOTAL_BYTES: u64 = 1 << 40;
const TOTAL_FILES: u64 = 1 << 32;

impl State {
    pub(crate) fn statfs(&self) -> StatFsReply {
        let used: u64 = self
            .inodes
            .values()
            .map(|inode| if let Body::File(content) = &inode.body { content.used() } else { 0 })
            .sum();
        let files = self.inodes.len() as u64;
        let free = TOTAL_BYTES.saturating_sub(used);
        StatFsReply { total: TOTAL_BYTES, free, available: free, files, files_free: TOTAL_FILES - files }
    }

    pub(crate) fn restart(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Some(durable) = inode.durable.take() {
                inode.body = Body::File(durable);
            }
        }
        self.opens.table.clear();
        self.locks.forget_all();
        self.replay.restart();
        self.boot += 1;
        self.clients.restart();
        self.free_orphans();
    }
}
