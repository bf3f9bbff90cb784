//! What Raft keeps, as bytes (`docs/formats/log.md`).

use super::types::{Entry, LogId, Membership, Vote, log_id};
use crate::MetadataError;
use crate::batch::Batch;
use bytes::{Buf, BufMut, Bytes};
use drive::log::LogRecord;
use openraft::EntryPayload;

const BLANK: u8 = 0;
const MEMBERSHIP: u8 = 2;
/// 1 was commands before they had kinds.
const COMMANDS: u8 = 3;

fn damaged(what: impl Into<String>) -> MetadataError {
    MetadataError::Damaged(what.into())
}

pub(super) fn record(entry: &Entry) -> Result<LogRecord, MetadataError> {
    let mut body = Vec::new();
    match &entry.payload {
        EntryPayload::Blank => body.push(BLANK),
        EntryPayload::Normal(batch) => {
            body.push(COMMANDS);
            batch.encode(&mut body);
        }
        EntryPayload::Membership(membership) => {
            body.push(MEMBERSHIP);
            body = postcard::to_extend(membership, body).map_err(|e| damaged(e.to_string()))?;
        }
    }
    let (leader, index) = (entry.log_id.leader_id, entry.log_id.index);
    Ok(LogRecord { index, term: leader.term, body: body.into() })
}

pub(super) fn entry(record: LogRecord) -> Result<Entry, MetadataError> {
    let at = |what: &str| damaged(format!("log entry {}: {what}", record.index));
    let mut body = record.body.clone();
    let payload = match body.try_get_u8() {
        Ok(BLANK) => EntryPayload::Blank,
        Ok(COMMANDS) => EntryPayload::Normal(Batch::decode(&mut body)?),
        Ok(MEMBERSHIP) => {
            let (membership, rest) =
                postcard::take_from_bytes::<Membership>(&body).map_err(|e| at(&e.to_string()))?;
            body = Bytes::copy_from_slice(rest);
            EntryPayload::Membership(membership)
        }
        _ => return Err(at("of an unknown kind")),
    };
    if body.has_remaining() {
        return Err(at("with bytes left over"));
    }
    Ok(Entry { log_id: log_id(record.term, record.index), payload })
}

pub(super) fn vote(vote: &Vote) -> Bytes {
    let mut out = Vec::with_capacity(17);
    out.put_u64(vote.leader_id().term);
    out.put_u64(vote.leader_id().voted_for);
    out.put_u8(u8::from(vote.is_committed()));
    out.into()
}

pub(super) fn read_vote(mut bytes: Bytes) -> Result<Vote, MetadataError> {
    if bytes.len() != 17 {
        return Err(damaged("a vote of a wrong length"));
    }
    let (term, node) = (bytes.get_u64(), bytes.get_u64());
    match bytes.get_u8() {
        0 => Ok(Vote::new(term, node)),
        1 => Ok(Vote::new_committed(term, node)),
        _ => Err(damaged("a vote that is neither committed nor not")),
    }
}

/// A log id: term, index.
pub(crate) fn id(id: &LogId) -> Bytes {
    let mut out = Vec::with_capacity(16);
    out.put_u64(id.leader_id.term);
    out.put_u64(id.index);
    out.into()
}

pub(crate) fn read_id(mut bytes: Bytes) -> Result<LogId, MetadataError> {
    if bytes.len() != 16 {
        return Err(damaged("a log id of a wrong length"));
    }
    let (term, index) = (bytes.get_u64(), bytes.get_u64());
    Ok(log_id(term, index))
}

/// Reads `bytes` as each of them.
#[cfg(feature = "fuzz")]
pub(crate) fn decode_stored(bytes: &Bytes) {
    let _ = entry(LogRecord { index: 1, term: 1, body: bytes.clone() });
    let _ = read_vote(bytes.clone());
    let _ = read_id(bytes.clone());
}

/// Bodies of records of each kind, and a vote.
#[cfg(feature = "fuzz")]
pub(crate) fn stored() -> Vec<Vec<u8>> {
    let nodes = [(7, openraft::impls::EmptyNode {})];
    let voters =
        Membership::new_with_defaults(vec![std::collections::BTreeSet::from([7])], nodes.map(|(id, _)| id));
    use crate::{Command, Record, TxId};
    let finish = Record::Finish { tx: TxId { executor: 1, epoch: 2, number: 3 }, commit: true, floor: 3 };
    let one = Command::of_machine(Bytes::from_static(b"one"));
    let commands = Batch([Some(one), Command::of_transaction(&finish)].into_iter().flatten().collect());
    let payloads = [EntryPayload::Blank, EntryPayload::Normal(commands), EntryPayload::Membership(voters)];
    let body = |payload| record(&Entry { log_id: log_id(3, 9), payload }).map(|record| record.body.to_vec());
    let mut stored: Vec<Vec<u8>> = payloads.into_iter().flat_map(body).collect();
    stored.push(vote(&Vote::new_committed(3, 7)).to_vec());
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Command;
    use openraft::impls::EmptyNode;
    use std::collections::{BTreeMap, BTreeSet};

    fn membership() -> Membership {
        let nodes: BTreeMap<u64, EmptyNode> = [(7, EmptyNode {})].into();
        Membership::new_with_defaults(vec![BTreeSet::from([7])], nodes.into_keys())
    }

    #[test]
    fn entries_come_back() {
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Batch([Command::of_machine(Bytes::from_static(b"a"))].into())),
            EntryPayload::Membership(membership()),
        ];
        for payload in payloads {
            let before = Entry { log_id: log_id(3, 9), payload };
            let stored = record(&before).unwrap();
            assert_eq!(entry(stored.clone()).unwrap(), before);
            let mut longer = stored.body.to_vec();
            longer.push(0);
            assert!(entry(LogRecord { body: longer.into(), ..stored.clone() }).is_err());
            let cut = stored.body.slice(..stored.body.len() - 1);
            assert!(entry(LogRecord { body: cut, ..stored }).is_err());
        }
    }

    #[test]
    fn votes_and_ids_come_back() {
        for v in [Vote::new(3, 7), Vote::new_committed(4, 8)] {
            assert_eq!(read_vote(vote(&v)).unwrap(), v);
        }
        assert!(read_vote(Bytes::from_static(&[2; 17])).is_err());
        assert_eq!(read_id(id(&log_id(5, 6))).unwrap(), log_id(5, 6));
    }
}
