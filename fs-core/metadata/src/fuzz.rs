//! The decoders of what a shard keeps in its log and its map, for a fuzzer.

use crate::raft::{self, Mark};
use crate::remote::fuzz;
use crate::{Answer, Record, TxId};
use bytes::Bytes;

/// Reads `bytes` as the body of a log record, as a vote, as a map's mark, and as what is said of a transaction.
pub fn decode(bytes: &[u8]) {
    raft::decode_stored(&Bytes::copy_from_slice(bytes));
    let _ = Mark::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Answer::decode(bytes);
}

/// Gives `bytes` to a shard as a message over the fabric, and to a view of one as an answer: the length of the small
/// part (u16, little endian), the small part, the payload.
pub fn message(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (small, payload) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    fuzz::message(small, &Bytes::copy_from_slice(payload));
}

/// Messages over the fabric, each as [`message`] takes it.
#[must_use]
pub fn messages() -> Vec<Vec<u8>> {
    let joined = |(small, payload): (Vec<u8>, Bytes)| {
        // Far below 64 KiB.
        [&(small.len() as u16).to_le_bytes(), &small[..], &payload].concat()
    };
    fuzz::messages().into_iter().map(joined).collect()
}

/// Bodies of log records of each kind, a vote, and what is said of a transaction.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let tx = TxId { executor: 1, epoch: 2, number: 3 };
    let said = [Record::Resolve { tx }, Record::Finish { tx, commit: true, floor: 3 }];
    let said = said.iter().filter_map(Record::encode).map(|bytes| bytes.to_vec());
    raft::stored().into_iter().chain(said).collect()
}
