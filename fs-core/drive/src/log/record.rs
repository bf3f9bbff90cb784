//! What a shard's log is made of, and how it is laid out (`docs/formats/log.md`).

use super::{BODY_BYTES_MAX, LogError};
use bytes::{Buf, BufMut, Bytes};

/// Version of records and marks.
const VERSION: u8 = 1;

/// Bytes before a record's body: index, version, term.
const HEAD: usize = 8 + 1 + 8;

/// One entry of a shard's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Position in the shard's log.
    pub index: u64,
    /// Term of the leader that made it.
    pub term: u64,
    /// The shard's business.
    pub body: Bytes,
}

/// A small value of a shard beside its entries; the last one written counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mark {
    /// The vote of the shard's voter.
    Vote,
    /// The id of the last entry that was purged.
    Purged,
    /// Who this home of the log is.
    Home,
}

impl Mark {
    /// The engine's key.
    pub(super) fn key(self) -> &'static [u8] {
        match self {
            Mark::Vote => b"vote",
            Mark::Purged => b"purged",
            Mark::Home => b"home",
        }
    }
}

/// The engine's key of the index from which entries were cut off and not yet replaced.
pub(super) const CUT_KEY: &[u8] = b"cut";

impl LogRecord {
    /// The engine finds the index in the first 8 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.body.len());
        out.put_u64(self.index);
        out.put_u8(VERSION);
        out.put_u64(self.term);
        out.put_slice(&self.body);
        out
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<LogRecord, LogError> {
        if bytes.len() < HEAD || bytes.len() > HEAD + BODY_BYTES_MAX {
            return Err(LogError::Damaged(format!("a record of {} bytes", bytes.len())));
        }
        let index = bytes.get_u64();
        match bytes.get_u8() {
            VERSION => {}
            other => return Err(LogError::UnknownVersion(other)),
        }
        let term = bytes.get_u64();
        Ok(LogRecord { index, term, body: bytes })
    }
}

/// The index of an encoded record; 0 for what is none, which no encoded record is.
pub(super) fn index_of(encoded: &[u8]) -> u64 {
    encoded.first_chunk().map_or(0, |b| u64::from_be_bytes(*b))
}

pub(super) fn encode_mark(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + value.len());
    out.push(VERSION);
    out.extend_from_slice(value);
    out
}

pub(super) fn decode_mark(stored: &[u8]) -> Result<Bytes, LogError> {
    match stored.split_first() {
        Some((&VERSION, value)) => Ok(Bytes::copy_from_slice(value)),
        Some((&other, _)) => Err(LogError::UnknownVersion(other)),
        None => Err(LogError::Damaged("an empty mark".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_foreign_version_does_not() {
        let record = LogRecord { index: 7, term: 3, body: Bytes::from_static(b"body") };
        let encoded = record.encode();
        assert_eq!(index_of(&encoded), 7);
        assert_eq!(LogRecord::decode(encoded.clone().into()).unwrap(), record);
        let mut newer = encoded.clone();
        newer[8] = 2;
        assert_eq!(LogRecord::decode(newer.into()), Err(LogError::UnknownVersion(2)));
        for cut in 0..HEAD {
            assert!(LogRecord::decode(Bytes::copy_from_slice(&encoded[..cut])).is_err());
        }
    }

    #[test]
    fn a_mark_comes_back_and_a_foreign_version_does_not() {
        assert_eq!(decode_mark(&encode_mark(b"v")).unwrap(), Bytes::from_static(b"v"));
        assert_eq!(decode_mark(&[2, 0]), Err(LogError::UnknownVersion(2)));
        assert!(decode_mark(&[]).is_err());
    }
}
