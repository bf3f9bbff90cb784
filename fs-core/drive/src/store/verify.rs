//! Reading a chunk again to find damage before it is needed.

use super::{ChunkStore, read};
use crate::chunk::{ChunkInfo, ChunkKey};
use crate::service::DriveError;
use types::limits::BLOCK_BYTES;

/// Blocks read at a time: whoever wants the device meanwhile waits for no more.
const PIECE: u16 = 32;

impl ChunkStore {
    /// Verifies a whole chunk as it is on the device, a piece after the other.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` (also where only this chunk cannot be read), `Busy` (it is being replaced),
    /// `Failed` when the device is gone.
    pub async fn verify(&self, key: ChunkKey) -> Result<ChunkInfo, DriveError> {
        // What is in memory proves nothing about what is on the device.
        self.shared.headers.lock().remove(&key);
        let found = self.shared.state.lock().index.get(&key);
        let chunk = found.ok_or(DriveError::NotFound)?;
        match self.verify_pieces(chunk.info).await {
            Err(DriveError::Failed(why)) if self.shared.file.read_at(0, BLOCK_BYTES).await.is_ok() => {
                Err(DriveError::Corrupt(why))
            }
            verified => verified,
        }
    }

    async fn verify_pieces(&self, info: ChunkInfo) -> Result<ChunkInfo, DriveError> {
        for first in (0..info.blocks).step_by(usize::from(PIECE)) {
            let piece = read::read(&self.shared, info.key, first, PIECE.min(info.blocks - first)).await;
            match piece {
                Ok(piece) if piece.info == info => {}
                // Another has its key since.
                Ok(_) | Err(DriveError::Invalid(_)) => return Err(DriveError::Busy),
                Err(error) => return Err(error),
            }
        }
        Ok(info)
    }
}
