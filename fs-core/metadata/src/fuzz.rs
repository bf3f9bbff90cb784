//! The decoders of what a shard keeps in its log and its map, for a fuzzer.

use crate::raft::{self, Mark};
use crate::{Answer, Record, TxId};
use bytes::Bytes;

/// Reads `bytes` as the body of a log record, as a vote, as a map's mark, and as what is said of a transaction.
pub fn decode(bytes: &[u8]) {
    raft::decode_stored(&Bytes::copy_from_slice(bytes));
    let _ = Mark::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Answer::decode(bytes);
}

/// Bodies of log records of each kind, a vote, and what is said of a transaction.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let tx = TxId { executor: 1, epoch: 2, number: 3 };
    let said = [Record::Resolve { tx }, Record::Finish { tx, commit: true, floor: 3 }];
    let said = said.iter().filter_map(Record::encode).map(|bytes| bytes.to_vec());
    raft::stored().into_iter().chain(said).collect()
}
