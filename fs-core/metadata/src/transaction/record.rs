//! What executors say to shards, and what these answer: records in the shards' logs, beside the machine's
//! commands. A version byte and postcard (`docs/formats/transactions.md`); bounded as commands are.

use super::{Age, Digest, DigestKey, TxId};
use crate::{MetadataError, Refused};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::ShardId;
use types::limits::COMMAND_BYTES_MAX;

const VERSION: u8 = 1;

/// A change of a key that is prepared.
pub type Write = (Bytes, Option<Bytes>);

/// Asks a participant to hold what the transaction read and wrote there until it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Prepare {
    /// The transaction.
    pub tx: TxId,
    /// Its age.
    pub age: Age,
    /// Counts how often the executor asked the same transaction: a later one replaces an earlier.
    pub round: u32,
    /// The shard that decides.
    pub coordinator: ShardId,
    /// Of the digests.
    pub digest_key: DigestKey,
    /// Keys that were read.
    pub gets: Vec<(Bytes, Digest)>,
    /// Ranges that were read: first key, one past the last.
    pub ranges: Vec<(Bytes, Bytes, Digest)>,
    /// What the transaction writes.
    pub writes: Vec<Write>,
}

/// A range as it was read: first key, one past the last, and all that was there.
pub type Rows = (Bytes, Bytes, Vec<(Bytes, Bytes)>);

/// Asks the coordinator to run the command, and by that to decide.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The transaction.
    pub tx: TxId,
    /// Its age.
    pub age: Age,
    /// The shards where it is prepared. None: the command is the coordinator's alone.
    pub participants: Vec<ShardId>,
    /// The machine's command.
    pub command: Bytes,
    /// Keys of other shards with their values: locked there, or guarded.
    pub gets: Vec<(Bytes, Option<Bytes>)>,
    /// Ranges of other shards, locked there.
    pub ranges: Vec<Rows>,
    /// Keys of this shard that guard some of `gets`, as they were.
    pub guards: Vec<(Bytes, Digest)>,
    /// Of the digests.
    pub digest_key: DigestKey,
    /// Of what the command must write in other shards, being what is prepared there.
    pub foreign_writes: Digest,
}

/// What executors say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// To a participant: hold this.
    Prepare(Prepare),
    /// To the coordinator: run this, and decide.
    Commit(Commit),
    /// To the coordinator, from anybody: what became of it? If nothing yet, nothing shall.
    Resolve {
        /// The transaction.
        tx: TxId,
    },
    /// To a participant: the decision.
    Finish {
        /// The transaction.
        tx: TxId,
        /// Whether its writes take effect.
        commit: bool,
        /// All transactions of this executor's life with a lower number have ended.
        floor: u64,
    },
    /// To the coordinator: all participants have finished.
    Forget {
        /// The transaction.
        tx: TxId,
        /// As in `Finish`.
        floor: u64,
    },
}

/// Who stands in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The transaction.
    pub tx: TxId,
    /// Its age.
    pub age: Age,
}

/// What shards answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Held as it was read; the writes are durable.
    Prepared,
    /// To `Prepare`: held, but something is not as it was read: look again and prepare again. To `Commit`:
    /// the command would do something else than is prepared; the transaction has ended.
    Stale,
    /// Held by another transaction, or kept for an older one (`None`).
    Blocked(Option<Holder>),
    /// The transaction has ended before. To `Resolve`: without effect, or with one that all participants know.
    Over,
    /// Too much is held already.
    Full,
    /// It took effect; the machine's reply.
    Committed(Bytes),
    /// It never took effect, and never will.
    Aborted,
    /// To `Commit`: it cannot take effect; the transaction has ended.
    Refused(Refused),
    /// Done.
    Done,
    /// As `Over`, because another life of its executor has begun.
    Fenced,
}

pub(crate) fn encode(what: &impl Serialize) -> Bytes {
    #[expect(clippy::expect_used, reason = "postcard fails only on types without a length; these have one")]
    postcard::to_extend(what, vec![VERSION]).map(Bytes::from).expect("a record encodes")
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, MetadataError> {
    let damaged = |why: String| MetadataError::Damaged(format!("{what}: {why}"));
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(damaged("bytes left over".into())),
            Err(error) => Err(damaged(error.to_string())),
        },
        Some((version, _)) => Err(damaged(format!("unknown version {version}"))),
        None => Err(damaged("empty".into())),
    }
}

impl Record {
    /// As it stands in the log; `None` where it is larger than a command may be.
    #[must_use]
    pub fn encode(&self) -> Option<Bytes> {
        Some(encode(self)).filter(|bytes| bytes.len() <= COMMAND_BYTES_MAX)
    }

    /// What [`Record::encode`] gave.
    ///
    /// # Errors
    /// [`MetadataError::Damaged`] for anything else, and for an unknown version.
    pub fn decode(bytes: &[u8]) -> Result<Record, MetadataError> {
        decode("transaction record", bytes)
    }

    /// The transaction that it is about.
    #[must_use]
    pub fn tx(&self) -> TxId {
        match self {
            Record::Prepare(prepare) => prepare.tx,
            Record::Commit(commit) => commit.tx,
            Record::Resolve { tx } | Record::Finish { tx, .. } | Record::Forget { tx, .. } => *tx,
        }
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    /// What a shard answered to a [`Record`].
    ///
    /// # Errors
    /// [`MetadataError::Damaged`] for anything else, and for an unknown version.
    pub fn decode(bytes: &[u8]) -> Result<Answer, MetadataError> {
        decode("answer to a transaction record", bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn prepare() -> Prepare {
        let digest_key = DigestKey([9; 16]);
        Prepare {
            tx: TxId { executor: 1, epoch: 2, number: 3 },
            age: Age { born: 4, executor: 1, number: 3 },
            round: 1,
            coordinator: ShardId(5),
            digest_key,
            gets: vec![(Bytes::from_static(b"k"), digest_key.value(None))],
            ranges: vec![(Bytes::from_static(b"a"), Bytes::from_static(b"b"), digest_key.begin().end())],
            writes: vec![(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v")))],
        }
    }

    #[test]
    fn records_come_back_and_unknown_versions_do_not() {
        let tx = TxId { executor: 1, epoch: 2, number: 3 };
        let all = [
            Record::Prepare(prepare()),
            Record::Resolve { tx },
            Record::Finish { tx, commit: true, floor: 7 },
            Record::Forget { tx, floor: 7 },
        ];
        for record in all {
            let bytes = record.encode().unwrap();
            assert_eq!(Record::decode(&bytes).unwrap(), record);
            assert_eq!(record.tx(), tx);
            let mut other = bytes.to_vec();
            other[0] = VERSION + 1;
            assert!(Record::decode(&other).is_err());
            assert!(Record::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Record::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn the_bytes_in_logs_are_frozen() {
        let tx = TxId { executor: 1, epoch: 2, number: 300 };
        let finish = Record::Finish { tx, commit: true, floor: 7 };
        assert_eq!(&finish.encode().unwrap()[..], [1, 3, 1, 2, 0xac, 2, 1, 7]);
        assert_eq!(&Answer::Committed(Bytes::from_static(b"ok")).encode()[..], [1, 5, 2, b'o', b'k']);
    }

    #[test]
    fn what_is_larger_than_a_command_is_not_encoded() {
        let mut large = prepare();
        large.writes = vec![(Bytes::from_static(b"k"), Some(vec![0; COMMAND_BYTES_MAX].into()))];
        assert_eq!(Record::Prepare(large).encode(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_read_but_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = Record::decode(&bytes);
            let _ = Answer::decode(&bytes);
        }
    }
}
