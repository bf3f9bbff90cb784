//! What can be asked of a drive, as plain data: carried in-process today, by the fabric later.

use crate::chunk::{ChunkInfo, ChunkKey, Shape};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Chunks of one listing, at most.
pub const LIST_MAX: usize = 4096;
/// Chunks freed by one request, at most.
pub const FREE_MAX: usize = 512;

/// Who writes, and in which of its lives: a drive that has heard of a newer life refuses the older.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Writer {
    /// The writer, for ever (a frontend's id).
    pub id: u64,
    /// Grows with every life of it.
    pub epoch: u64,
}

/// A chunk to be made durable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WriteChunk {
    /// Its name.
    pub key: ChunkKey,
    /// Its stripe.
    pub shape: Shape,
    /// Who writes it.
    pub writer: Writer,
    /// 1 to 256 whole blocks.
    pub data: Bytes,
    /// [`crate::chunk::block_crcs`] of the data, computed where the data came from.
    pub crcs: Vec<u32>,
    /// Take the place of a chunk of the same name that is damaged.
    pub replace: bool,
    /// What for.
    pub purpose: Purpose,
}

/// What a chunk is written for: how much of the space that is held back it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Purpose {
    /// Something that may be refused: none.
    Ordinary,
    /// Data that were acknowledged on the promise that they fit: half.
    Promised,
    /// Cleaning and repair: all.
    Essential,
}

/// Everything a drive does for others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DriveRequest {
    /// Durable when answered.
    Write(WriteChunk),
    /// Blocks of a chunk with their checksums.
    Read {
        /// Which chunk.
        key: ChunkKey,
        /// First block.
        first: u16,
        /// Number of blocks, at least 1.
        count: u16,
    },
    /// Forget chunks, at most [`FREE_MAX`]; those that are not there are no error. Durable when answered.
    Free {
        /// Which.
        keys: Vec<ChunkKey>,
        /// Who frees.
        writer: Writer,
    },
    /// Chunks in order.
    List {
        /// The first key to list.
        from: ChunkKey,
        /// How many at most, up to [`LIST_MAX`].
        limit: u32,
    },
    /// Space and health.
    Stat,
    /// From now on refuse what `writer.id` sends under an older epoch. Durable when answered.
    Fence {
        /// The newest life.
        writer: Writer,
    },
    /// Reads a whole chunk from the device and verifies it here; nothing that is in memory counts.
    Verify {
        /// Which chunk.
        key: ChunkKey,
    },
}

/// The answers, in the order of [`DriveRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DriveReply {
    /// To `Write`, `Free` and `Fence`.
    Done,
    /// To `Read`.
    Data(ChunkData),
    /// To `List`.
    Chunks(Vec<ChunkInfo>),
    /// To `Stat`.
    Stat(DriveStat),
    /// To `Verify`: the chunk is whole.
    Whole(ChunkInfo),
}

/// Blocks as stored; whoever uses them verifies them, unless it was done on this way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChunkData {
    /// The chunk they belong to.
    pub info: ChunkInfo,
    /// The blocks.
    pub data: Bytes,
    /// One CRC a block.
    pub crcs: Vec<u32>,
    /// They were verified in this process since the device gave them. It is not sent: blocks that come from elsewhere are not.
    #[serde(skip)]
    pub verified: bool,
}

/// Space and health of a drive; bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct DriveStat {
    /// All that chunks and their headers may use, held back space included.
    pub total: u64,
    /// Free, held back space included.
    pub free: u64,
    /// The part of `total` that only what was promised, cleaning and repair may use.
    pub held_back: u64,
    /// The longest run of free bytes: a chunk needs one run for its header and data.
    pub longest: u64,
    /// Chunks.
    pub chunks: u64,
    /// Damaged chunks seen since start.
    pub corrupt: u64,
    /// Device errors since start.
    pub errors: u64,
    /// The drive takes no more writes: a sync failed, or a promise could not be kept.
    pub failed: bool,
}

/// Why a drive did not do as asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum DriveError {
    /// No such chunk.
    #[error("no such chunk")]
    NotFound,
    /// The chunk is there and damaged.
    #[error("chunk damaged: {0}")]
    Corrupt(String),
    /// A newer life of the writer has been here.
    #[error("a writer of epoch {newest} has taken over")]
    Fenced {
        /// The newest epoch known.
        newest: u64,
    },
    /// A different chunk of this name is there.
    #[error("another chunk of this name is there")]
    Conflict,
    /// The chunk is just being written.
    #[error("the chunk is being written")]
    Busy,
    /// No run of free units is long enough.
    #[error("no space on the drive")]
    NoSpace,
    /// The request makes no sense.
    #[error("bad request: {0}")]
    Invalid(String),
    /// The device failed.
    #[error("the drive failed: {0}")]
    Failed(String),
    /// The drive is closed or out of reach.
    #[error("the drive is closed")]
    Closed,
}

impl From<env::BlockError> for DriveError {
    fn from(error: env::BlockError) -> DriveError {
        DriveError::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkInfo, Shape};
    use types::{ChunkId, GroupId, StripeId};

    #[test]
    fn every_request_and_reply_survives_the_wire() {
        let key = ChunkKey { group: GroupId(1), chunk: ChunkId { stripe: StripeId(2), index: 3 } };
        let shape = Shape { data: 4, parity: 2, cells: 63, stripe_length: 9 };
        let writer = Writer { id: 5, epoch: 6 };
        let data = Bytes::from_static(b"data");
        let (crcs, info) = (vec![7, 8], ChunkInfo { key, shape, blocks: 2 });
        let requests = [
            DriveRequest::Write(WriteChunk {
                key,
                shape,
                writer,
                data: data.clone(),
                crcs: crcs.clone(),
                replace: true,
                purpose: Purpose::Promised,
            }),
            DriveRequest::Read { key, first: 1, count: 2 },
            DriveRequest::Free { keys: vec![key], writer },
            DriveRequest::List { from: key, limit: 9 },
            DriveRequest::Stat,
            DriveRequest::Fence { writer },
            DriveRequest::Verify { key },
        ];
        for request in requests {
            let bytes = postcard::to_stdvec(&request).unwrap();
            assert_eq!(postcard::from_bytes(&bytes), Ok(request));
        }
        let replies = [
            Ok(DriveReply::Done),
            Ok(DriveReply::Data(ChunkData { info, data, crcs, verified: false })),
            Ok(DriveReply::Chunks(vec![info])),
            Ok(DriveReply::Stat(DriveStat { total: 1, ..DriveStat::default() })),
            Ok(DriveReply::Whole(info)),
            Err(DriveError::Fenced { newest: 3 }),
            Err(DriveError::Failed("why".into())),
        ];
        for reply in replies {
            let bytes = postcard::to_stdvec(&reply).unwrap();
            assert_eq!(postcard::from_bytes(&bytes), Ok(reply));
        }
    }
}
