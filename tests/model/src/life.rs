//! The life of the file system as a whole: its capacity, its restarts, its clients' ends.

use crate::inode::Body;
use crate::state::State;
use types::InodeId;
use vfs::{ClientId, StatFsReply};

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
        for (ino, inode) in &mut self.inodes {
            if inode.links == 0 {
                self.held.insert(*ino);
            }
            if let Some(durable) = inode.durable.take() {
                inode.body = Body::File(durable);
            }
        }
        self.opens.table.clear();
        self.locks.forget_all();
        self.replay.restart();
        self.grace = true;
        self.boot += 1;
    }

    pub(crate) fn end_grace(&mut self) {
        self.grace = false;
        let held: Vec<InodeId> = std::mem::take(&mut self.held).into_iter().collect();
        for ino in held {
            self.free_if_unused(ino);
        }
    }

    pub(crate) fn end_client(&mut self, client: ClientId) {
        self.close_client(client);
        self.locks.forget_client(client);
        self.replay.forget_client(client.0);
    }
}
