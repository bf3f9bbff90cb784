//! The decoders of what drives and those who ask them say to each other, for a fuzzer.

use crate::peer::wire::{self, Ask, Expected, Tell};
use bytes::Bytes;
use drive::chunk::block_crcs;
use drive::{ChunkData, ChunkInfo, ChunkKey, DriveReply, DriveRequest, DriveStat, Shape, WriteChunk, Writer};
use types::limits::BLOCK_BYTES;
use types::{ChunkId, GroupId, StripeId};

fn key() -> ChunkKey {
    ChunkKey { group: GroupId(7), chunk: ChunkId { stripe: StripeId(7), index: 5 } }
}

/// Reads `bytes` as a question and as an answer to each question, with and without a payload.
pub fn decode(bytes: &[u8]) {
    for payload in [Bytes::new(), Bytes::from_static(&[0; BLOCK_BYTES])] {
        if let Ok(ask) = postcard::from_bytes::<Ask>(bytes) {
            let _ = wire::join_request(ask, payload.clone());
        }
        for request in requests() {
            if let Ok(tell) = postcard::from_bytes::<Tell>(bytes) {
                let _ = Expected::of(&request).join(tell, payload.clone());
            }
        }
    }
}

fn requests() -> Vec<DriveRequest> {
    let (key, writer) = (key(), Writer { id: 1, epoch: 2 });
    let shape = Shape { data: 4, parity: 2, cells: 0b11_1111, stripe_length: 12_345 };
    let (data, crcs) = (Bytes::new(), block_crcs(key.chunk, 0, &[0; BLOCK_BYTES]));
    let purpose = drive::Purpose::Ordinary;
    vec![
        DriveRequest::Write(WriteChunk { key, shape, writer, data, crcs, replace: false, purpose }),
        DriveRequest::Read { key, first: 0, count: 1 },
        DriveRequest::Free { keys: vec![key], writer },
        DriveRequest::List { from: ChunkKey::FIRST, limit: 10 },
        DriveRequest::Stat,
        DriveRequest::Verify { key },
    ]
}

/// One of each, whole.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let shape = Shape { data: 4, parity: 2, cells: 0b11_1111, stripe_length: 12_345 };
    let info = ChunkInfo { key: key(), shape, blocks: 1 };
    let (data, crcs) = (Bytes::new(), block_crcs(info.key.chunk, 0, &[0; BLOCK_BYTES]));
    let tells: [Tell; 5] = [
        Ok(DriveReply::Done),
        Ok(DriveReply::Data(ChunkData { info, data, crcs, verified: false })),
        Ok(DriveReply::Chunks(vec![info])),
        Ok(DriveReply::Stat(DriveStat { total: 9, free: 3, longest: 2, ..DriveStat::default() })),
        Ok(DriveReply::Whole(info)),
    ];
    let asks = requests().into_iter().filter_map(|request| postcard::to_stdvec(&Ask(request)).ok());
    asks.chain(tells.iter().filter_map(|tell| postcard::to_stdvec(tell).ok())).collect()
}
