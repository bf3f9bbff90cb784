//! Reading everything again, a budget at a time, to find damage before it is needed.

use super::{ChunkStore, read};
use crate::chunk::ChunkKey;
use crate::service::{DriveError, ScrubReport};
use types::limits::BLOCK_BYTES;

impl ChunkStore {
    /// One step of a pass: verifies chunks from `from` on until about `budget` bytes were read.
    /// Begin with [`ChunkKey::FIRST`], go on with [`ScrubReport::next`].
    ///
    /// # Errors
    /// `Failed` when the device is gone; single unreadable chunks are reported as corrupt.
    pub async fn scrub(&self, from: ChunkKey, budget: u64) -> Result<ScrubReport, DriveError> {
        let mut report = ScrubReport { next: Some(from), ..ScrubReport::default() };
        while report.bytes <= budget
            && let Some(key) = report.next
        {
            let found = self.shared.state.lock().index.list(key, 1);
            let Some(chunk) = found.first() else {
                report.next = None;
                break;
            };
            // What is in memory proves nothing about what is on the device.
            self.shared.headers.lock().remove(&chunk.info.key);
            match read::read(&self.shared, chunk.info.key, 0, chunk.info.blocks).await {
                // Freed or replaced meanwhile: no concern of this pass.
                Ok(_) | Err(DriveError::NotFound | DriveError::Busy) => {}
                Err(DriveError::Corrupt(_)) => report.corrupt.push(chunk.info),
                Err(error) => {
                    if self.shared.file.read_at(0, BLOCK_BYTES).await.is_err() {
                        return Err(error);
                    }
                    report.corrupt.push(chunk.info);
                }
            }
            report.bytes += chunk.units() * BLOCK_BYTES as u64;
            report.next = chunk.info.key.next();
        }
        Ok(report)
    }
}
