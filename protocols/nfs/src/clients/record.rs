//! What is kept of a client over restarts of the server (`docs/formats/nfs-clients.md`).

use super::{Client, SESSIONS_MAX, Table};
use crate::session::Session;
use bytes::Bytes;
use nfs_wire::{ChannelAttrs, OWNER_BYTES_MAX, SessionId, Verifier};
use std::sync::Arc;
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque, XdrError, xdr_struct};

/// The only version that there is.
const VERSION: u32 = 1;

mod on_drive {
    use super::*;

    xdr_struct! {
        /// A client.
        pub struct Record {
            pub owner: Opaque<OWNER_BYTES_MAX>,
            pub verifier: Verifier,
            pub principal: List<u32, 1>,
            pub next_ordinal: u32,
            pub sessions: List<KeptSession, { 2 * SESSIONS_MAX }>,
        }
        /// A session.
        pub struct KeptSession { pub id: SessionId, pub ordinal: u32, pub fore: ChannelAttrs }
    }
}

pub(super) use on_drive::{KeptSession, Record};

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("version {0} is unknown")]
    Version(u32),
    #[error("damaged: {0}")]
    Damaged(#[from] XdrError),
}

impl Record {
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut e = Encoder::new();
        e.u32(VERSION);
        self.encode(&mut e);
        e.into_bytes()
    }

    pub(super) fn from_bytes(bytes: Bytes) -> Result<Record, RecordError> {
        let mut d = Decoder::new(bytes);
        match d.u32()? {
            VERSION => {}
            version => return Err(RecordError::Version(version)),
        }
        let record = Record::decode(&mut d)?;
        if d.remaining() > 0 {
            return Err(XdrError::Invalid.into());
        }
        Ok(record)
    }
}

impl Table {
    /// The client with its persistent sessions, those of former lives, and `more`.
    pub(super) fn kept_of(&self, client: &Client, more: Option<&Arc<Session>>) -> Bytes {
        let former = self.former.get(&client.owner);
        let former = former.filter(|former| former.vfs == client.vfs && !std::ptr::eq(&***former, client));
        let of_former = former.map(|former| former.state().former_sessions.clone()).unwrap_or_default();
        let state = client.state();
        let former: Vec<_> = of_former.iter().chain(&state.former_sessions).collect();
        // The oldest are those that nobody has asked for in several lives.
        let former = &former[former.len().saturating_sub(SESSIONS_MAX)..];
        let ids = former.iter().copied().chain(&state.sessions);
        let sessions = ids.filter_map(|id| self.sessions.get(id)).chain(more);
        let sessions = sessions.filter(|session| session.persistent).map(|session| KeptSession {
            id: session.id,
            ordinal: session.ordinal,
            fore: session.fore.clone(),
        });
        let record = Record {
            owner: client.owner.clone().into(),
            verifier: client.verifier,
            principal: client.principal.into_iter().collect::<Vec<_>>().into(),
            next_ordinal: state.next_ordinal,
            sessions: sessions.collect::<Vec<_>>().into(),
        };
        record.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::limits::CLIENT_RECORD_BYTES_MAX;

    fn record(sessions: usize) -> Record {
        let fore = ChannelAttrs {
            header_pad_size: 0,
            max_request_size: 1,
            max_response_size: 2,
            max_response_size_cached: 3,
            max_operations: 4,
            max_requests: 5,
            rdma_ird: List::default(),
        };
        let session = KeptSession { id: *b"0123456789abcdef", ordinal: 6, fore };
        Record {
            owner: Bytes::from_static(b"own").into(),
            verifier: *b"verifier",
            principal: vec![7].into(),
            next_ordinal: 8,
            sessions: vec![session; sessions].into(),
        }
    }

    #[test]
    fn records_on_drives_are_frozen() {
        let bytes = b"\0\0\0\x01\0\0\0\x03own\0verifier\0\0\0\x01\0\0\0\x07\0\0\0\x08\0\0\0\x010123456789abcdef\0\0\0\x06\
            \0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\0\0\0\0";
        assert_eq!(record(1).to_bytes(), &bytes[..]);
        assert_eq!(Record::from_bytes(Bytes::from_static(bytes)).unwrap(), record(1));
    }

    #[test]
    fn the_largest_record_is_small_enough() {
        let mut largest = record(2 * SESSIONS_MAX);
        largest.owner = Bytes::from(vec![1; OWNER_BYTES_MAX]).into();
        assert!(largest.to_bytes().len() <= CLIENT_RECORD_BYTES_MAX);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = record(2).to_bytes();
        for cut in 0..good.len() {
            assert!(Record::from_bytes(good.slice(..cut)).is_err(), "{cut}");
        }
        let mut other = good.to_vec();
        other[3] = 2;
        assert!(matches!(Record::from_bytes(other.into()), Err(RecordError::Version(2))));
        let long: Bytes = [&good[..], b"0000"].concat().into();
        assert!(Record::from_bytes(long).is_err());
    }
}
