//! What a drive and those who ask it say to each other over the fabric.
//!
//! Data of chunks are the payload of a message, as they came and as they go to the device. Their checksums, 5 bytes
//! for 4 KiB at most, are in the small part: in one buffer with the data, these would have to be copied.

use bytes::Bytes;
use drive::chunk::CHUNK_BLOCKS_MAX;
use drive::service::LIST_MAX;
use drive::{ChunkInfo, ChunkKey, DriveError, DriveReply, DriveRequest, DriveStat};
use fabric::{Limits, Query};
use serde::{Deserialize, Serialize};
use types::DriveId;
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};

/// More than any drive has.
const DRIVE_BYTES_MAX: u64 = 1 << 60;

/// A request; data to write are the payload.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ask(pub(crate) DriveRequest);

impl Query for Ask {}

/// The outcome; data that were read are the payload.
pub(crate) type Tell = Result<DriveReply, DriveError>;

/// The name under which one drive of one cluster answers: who greets it with another is refused.
pub(crate) fn service(cluster: &[u8; 16], drive: DriveId) -> String {
    format!("drive {} of {}", drive.0, drive::directory::hex(cluster))
}

/// Keys of a listing are the largest of the small parts.
pub(crate) fn limits() -> Limits {
    Limits {
        meta_bytes: 256 << 10,
        payload_bytes: CHUNK_BYTES_MAX as u32,
        connections: 64,
        ..Limits::default()
    }
}

/// Takes the data out of a request that writes.
pub(crate) fn split_request(mut request: DriveRequest) -> (Ask, Bytes) {
    let data = match &mut request {
        DriveRequest::Write(write) => std::mem::take(&mut write.data),
        _ => Bytes::new(),
    };
    (Ask(request), data)
}

/// Puts the data back; the rest of a request is for the drive to check.
pub(crate) fn join_request(Ask(mut request): Ask, payload: Bytes) -> Result<DriveRequest, DriveError> {
    match &mut request {
        DriveRequest::Write(write) if write.data.is_empty() => write.data = payload,
        DriveRequest::Write(_) => return Err(DriveError::Invalid("data in the small part".into())),
        _ if payload.is_empty() => {}
        _ => return Err(DriveError::Invalid("a payload that nobody asked for".into())),
    }
    Ok(request)
}

/// Takes the data out of a reply that has read.
pub(crate) fn split_reply(mut reply: Tell) -> (Tell, Bytes) {
    let data = match &mut reply {
        Ok(DriveReply::Data(found)) => std::mem::take(&mut found.data),
        _ => Bytes::new(),
    };
    (reply, data)
}

/// The form that an answer must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expected {
    Done,
    Data { key: ChunkKey, blocks: u16 },
    Chunks { from: ChunkKey, limit: u32 },
    Stat,
    Whole { key: ChunkKey },
}

impl Expected {
    /// Of the answer to `request`.
    pub(crate) fn of(request: &DriveRequest) -> Expected {
        match request {
            DriveRequest::Write(_) | DriveRequest::Free { .. } | DriveRequest::Fence { .. } => Expected::Done,
            DriveRequest::Read { key, count, .. } => Expected::Data { key: *key, blocks: *count },
            DriveRequest::List { from, limit } => Expected::Chunks { from: *from, limit: *limit },
            DriveRequest::Stat => Expected::Stat,
            DriveRequest::Verify { key } => Expected::Whole { key: *key },
        }
    }

    /// Puts the data back into an answer that has this form. What a chunk holds is for the reader to verify.
    pub(crate) fn join(self, reply: Tell, payload: Bytes) -> Tell {
        let mut reply = reply?;
        let data_fit = match &mut reply {
            DriveReply::Data(found) => {
                let fit = found.data.is_empty() && payload.len() == found.crcs.len() * BLOCK_BYTES;
                found.data = payload;
                fit
            }
            _ => payload.is_empty(),
        };
        let fits = data_fit
            && match (self, &reply) {
                (Expected::Done, DriveReply::Done) => true,
                (Expected::Data { key, blocks }, DriveReply::Data(found)) => {
                    found.crcs.len() == usize::from(blocks) && is_of(&found.info, key)
                }
                (Expected::Chunks { from, limit }, DriveReply::Chunks(chunks)) => {
                    is_listing(chunks, from, limit)
                }
                (Expected::Stat, DriveReply::Stat(stat)) => is_possible(stat),
                (Expected::Whole { key }, DriveReply::Whole(info)) => is_of(info, key),
                _ => false,
            };
        if fits { Ok(reply) } else { Err(DriveError::Failed("it answers what was not asked".into())) }
    }
}

fn is_sane(info: &ChunkInfo) -> bool {
    info.shape.is_sane(info.key.chunk.index) && (1..=CHUNK_BLOCKS_MAX).contains(&usize::from(info.blocks))
}

fn is_of(info: &ChunkInfo, key: ChunkKey) -> bool {
    info.key == key && is_sane(info)
}

/// In order, none twice, from the first on: so that who goes on behind the last comes to an end.
fn is_listing(chunks: &[ChunkInfo], from: ChunkKey, limit: u32) -> bool {
    chunks.len() <= LIST_MAX.min(limit as usize)
        && chunks.first().is_none_or(|first| first.key >= from)
        && chunks.windows(2).all(|pair| pair[0].key < pair[1].key)
        && chunks.iter().all(is_sane)
}

fn is_possible(stat: &DriveStat) -> bool {
    stat.total <= DRIVE_BYTES_MAX
        && stat.free <= stat.total
        && stat.held_back <= stat.total
        && stat.longest <= stat.free
}
