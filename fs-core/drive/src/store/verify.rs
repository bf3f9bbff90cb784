//! Reading a chunk again to find damage before it is needed.

use super::{ChunkStore, read};
use crate::chunk::{ChunkInfo, ChunkKey};
use crate::service::DriveError;
use types::limits::BLOCK_BYTES;

impl ChunkStore {
    /// Verifies a whole chunk as it is on the device.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` (also where only this chunk cannot be read), `Busy` (it is being replaced),
    /// `Failed` when the device is gone.
    pub async fn verify(&self, key: ChunkKey) -> Result<ChunkInfo, DriveError> {
        // What is in memory proves nothing about what is on the device.
        self.shared.headers.lock().remove(&key);
        let found = self.shared.state.lock().index.get(&key);
        let chunk = found.ok_or(DriveError::NotFound)?;
        match read::read(&self.shared, key, 0, chunk.info.blocks).await {
            Ok(whole) => Ok(whole.info),
            Err(DriveError::Failed(why)) if self.shared.file.read_at(0, BLOCK_BYTES).await.is_ok() => {
                Err(DriveError::Corrupt(why))
            }
            Err(error) => Err(error),
        }
    }
}
