//! A shard's decisions about transactions that reach into others.

use super::{Brought, DECIDED_MAX, Decided, Denied, Host, Ran, elder, put_all, slot_of, stored};
use crate::MetadataError;
use crate::transaction::{Answer, Commit, Foreign, Holder, TxId, decode, encode};
use bytes::Bytes;
use map::{MapError, OrderedMap, OrderedMapMut, WriteSet};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::ShardId;

/// What is kept of a decision: it is always the same, as nothing is kept of what did not happen.
#[derive(Serialize, Deserialize)]
struct Stored {
    participants: Vec<ShardId>,
    reply: Bytes,
}

pub(super) fn load(map: &dyn OrderedMap) -> Result<BTreeMap<TxId, Arc<Decided>>, MetadataError> {
    let (from, to) = stored::all_decided();
    let mut all = Vec::new();
    map.scan(&from, &to, &mut |key, value| {
        all.push((stored::number(key).map(u128::from_be_bytes), decode::<Stored>("a decision", value)));
        true
    })?;
    let mut decided = BTreeMap::new();
    for (id, record) in all {
        let id = id.ok_or_else(|| MetadataError::Damaged("a decision's key".to_owned()))?;
        let Stored { participants, reply } = record?;
        decided.insert(TxId::from_u128(id), Arc::new(Decided { participants, reply }));
    }
    Ok(decided)
}

impl Host {
    /// See [`Commit`].
    pub(super) fn commit(&mut self, map: &mut dyn OrderedMapMut, commit: Commit) -> Result<Answer, MapError> {
        let Commit { tx, age, participants, command, gets, ranges, guards, digest_key, foreign_writes } =
            commit;
        if let Some(decided) = self.pending.decided.get(&tx) {
            return Ok(Answer::Committed(decided.reply.clone()));
        }
        if let Some(ended) = self.executors.ended(tx) {
            return Ok(ended);
        }
        let alone = participants.is_empty();
        if !alone && self.pending.decided.len() >= DECIDED_MAX {
            return Ok(Answer::Full);
        }
        let brought = Brought { foreign: Foreign::new(gets, ranges), guards, digest_key };
        let (reply, writes) = match self.run(map, &command, Some(&brought))? {
            Ran::Did(reply, writes) => (reply, writes),
            Ran::Denied(Denied::Locked(by)) => return Ok(self.blocked(map, age, by, None)),
            Ran::Denied(Denied::Elsewhere(_) | Denied::Changed) => {
                return Ok(self.end_undone(map, tx, alone, Answer::Stale));
            }
        };
        let (own, digest) = self.part(writes, digest_key);
        if digest != foreign_writes {
            return Ok(self.end_undone(map, tx, alone, Answer::Stale));
        }
        if let Err(refused) = self.check_writes(&own) {
            return Ok(self.end_undone(map, tx, alone, Answer::Refused(refused)));
        }
        if let Some((by, key)) = self.barred(&own) {
            return Ok(self.blocked(map, age, by, Some(key)));
        }
        elder::come(&mut self.elder, map, age);
        put_all(map, &own);
        if !alone {
            let record = Stored { participants: participants.clone(), reply: reply.clone() };
            map.put(&stored::decided(tx), encode(&record));
            let decided = Decided { participants, reply: reply.clone() };
            self.pending_mut().decided.insert(tx, Arc::new(decided));
        }
        Ok(Answer::Committed(reply))
    }

    /// What is written here, and the digest of what is written elsewhere.
    fn part(&self, writes: WriteSet, key: crate::DigestKey) -> (WriteSet, crate::Digest) {
        let (mut own, mut digester) = (WriteSet::default(), key.begin());
        for (key, change) in writes.iter() {
            if self.slots.shard(slot_of(key)) == self.shard {
                own.record(key, change.clone());
            } else {
                digester.write(key, change);
            }
        }
        (own, digester.end())
    }

    fn blocked(
        &mut self,
        map: &mut dyn OrderedMapMut,
        age: crate::Age,
        by: TxId,
        key: Option<Bytes>,
    ) -> Answer {
        let Some(held) = self.pending.prepared.get(&by).cloned() else { return Answer::Blocked(None) };
        // A read was in the way: any key of the holder's stands for it.
        let key = key.or_else(|| held.locks.writes.first().cloned());
        if let Some(key) = key {
            elder::wait(&mut self.elder, map, age, key);
        }
        Answer::Blocked(Some(Holder { tx: by, age: held.age }))
    }

    /// The transaction ends without effect; nothing that is still on its way shall change that.
    fn end_undone(&mut self, map: &mut dyn OrderedMapMut, tx: TxId, alone: bool, answer: Answer) -> Answer {
        if !alone {
            self.end(map, tx, 0);
        }
        answer
    }

    /// Somebody asks what became of a transaction; what is not decided now never will be.
    pub(super) fn resolve(&mut self, map: &mut dyn OrderedMapMut, tx: TxId) -> Answer {
        match self.pending.decided.get(&tx) {
            Some(decided) => Answer::Committed(decided.reply.clone()),
            None => self.executors.ended(tx).unwrap_or_else(|| {
                self.end(map, tx, 0);
                Answer::Aborted
            }),
        }
    }

    /// All participants have finished.
    pub(super) fn forget(&mut self, map: &mut dyn OrderedMapMut, tx: TxId, floor: u64) -> Answer {
        if self.pending.decided.contains_key(&tx) {
            map.delete(&stored::decided(tx));
            self.pending_mut().decided.remove(&tx);
        }
        self.end(map, tx, floor);
        Answer::Done
    }
}
