//! The frontend's stripes: whole stripes on one drive.

use bytes::{Bytes, BytesMut};
use drive::chunk::block_crcs;
use drive::{ChunkKey, ChunkStore, DriveError, Shape, WriteChunk, Writer};
use frontend::{PlacedStripe, StripeError, Usage};
use std::ops::Range;
use std::sync::Arc;
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use types::{ChunkId, FsId, GroupId, StripeId};

/// Stripes of one chunk each, on the only drive.
pub(crate) struct OneDrive {
    pub(crate) chunks: Arc<ChunkStore>,
    pub(crate) writer: Writer,
}

fn key(stripe: StripeId) -> ChunkKey {
    ChunkKey { group: GroupId(0), chunk: ChunkId { stripe, index: 0 } }
}

fn error(stripe: StripeId, error: DriveError) -> StripeError {
    match error {
        DriveError::NotFound => StripeError::Gone(stripe),
        DriveError::NoSpace => StripeError::NoSpace,
        error => StripeError::Failed(error.to_string()),
    }
}

impl frontend::Stripes for OneDrive {
    fn stripe_bytes_max(&self) -> usize {
        CHUNK_BYTES_MAX
    }

    async fn write(&self, _: FsId, stripe: StripeId, data: Bytes) -> Result<PlacedStripe, StripeError> {
        // A frontend writes no more than `stripe_bytes_max`.
        let length = data.len() as u32;
        let data = if data.len().is_multiple_of(BLOCK_BYTES) {
            data
        } else {
            let mut padded = BytesMut::from(&data[..]);
            padded.resize(data.len().next_multiple_of(BLOCK_BYTES), 0);
            padded.freeze()
        };
        let key = key(stripe);
        let crcs = block_crcs(key.chunk, 0, &data);
        let shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: length };
        let write =
            WriteChunk { key, shape, writer: self.writer, data, crcs, replace: false, essential: false };
        self.chunks.write(write).await.map_err(|e| error(stripe, e))?;
        Ok(PlacedStripe { stripe, group: key.group, data_chunks: 1, parity_chunks: 0, length })
    }

    async fn read(&self, place: PlacedStripe, range: Range<u32>) -> Result<Bytes, StripeError> {
        let block = BLOCK_BYTES as u32;
        let (first, end) = (range.start / block, range.end.div_ceil(block));
        // At most 256 blocks in a chunk.
        let read = self.chunks.read(key(place.stripe), first as u16, (end - first) as u16);
        let blocks = read.await.map_err(|e| error(place.stripe, e))?.data;
        let from = (range.start - first * block) as usize;
        Ok(blocks.slice(from..from + (range.end - range.start) as usize))
    }

    async fn free(&self, place: PlacedStripe) -> Result<(), StripeError> {
        self.chunks.free(vec![key(place.stripe)], self.writer).await.map_err(|e| error(place.stripe, e))
    }

    async fn list(&self) -> Result<Vec<PlacedStripe>, StripeError> {
        let mut stripes = Vec::new();
        let mut from = Some(ChunkKey::FIRST);
        while let Some(at) = from {
            let chunks = self.chunks.list(at, drive::service::LIST_MAX).map_err(|e| error(StripeId(0), e))?;
            from = if chunks.len() < drive::service::LIST_MAX {
                None
            } else {
                chunks.last().and_then(|c| c.key.next())
            };
            stripes.extend(chunks.iter().map(|chunk| PlacedStripe {
                stripe: chunk.key.chunk.stripe,
                group: chunk.key.group,
                data_chunks: chunk.shape.data,
                parity_chunks: chunk.shape.parity,
                length: chunk.shape.stripe_length,
            }));
        }
        Ok(stripes)
    }

    fn usage(&self) -> Usage {
        let stat = self.chunks.stat();
        Usage { total: stat.total - stat.held_back, free: stat.free.saturating_sub(stat.held_back) }
    }
}
