//! The decoders of what a shard keeps in its log and its map, for a fuzzer.

use crate::raft::{self, Mark};
use bytes::Bytes;

/// Reads `bytes` as the body of a log record, as a vote and as a map's mark.
pub fn decode(bytes: &[u8]) {
    raft::decode_stored(&Bytes::copy_from_slice(bytes));
    let _ = Mark::decode(bytes);
}

/// Bodies of log records of each kind, and a vote.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    raft::stored()
}
