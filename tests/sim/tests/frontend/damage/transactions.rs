//! What transactions leave in shards, written as `docs/formats/transactions.md` has it.

use super::{Good, Plant};
use bytes::Bytes;
use fsck::Kind;
use types::ShardId;

/// Transaction 7.1.3.
const ID: u128 = 7 << 96 | 1 << 64 | 3;
const ID_AFTER: u128 = ID + 1;
/// Keys of slots of the first and of the last shard.
const FIRST: &[u8] = &[0, 0, 9];
const LAST: &[u8] = &[0xff, 0xff, 9];
const ORDINARY: Locks = Locks { coordinator: 0, whole: true, reads: &[], range: None, writes: &[LAST] };

/// What a prepared record says.
#[derive(Clone, Copy)]
struct Locks {
    coordinator: u16,
    whole: bool,
    reads: &'static [&'static [u8]],
    range: Option<(&'static [u8], &'static [u8])>,
    writes: &'static [&'static [u8]],
}

fn key(letter: u8, id: &[u8]) -> Vec<u8> {
    [&[0, letter], id].concat()
}

impl Good {
    fn beside(
        &mut self,
        shard: u16,
        key: Vec<u8>,
        record: impl FnOnce(Vec<u8>) -> postcard::Result<Vec<u8>>,
    ) {
        self.beside.push((ShardId(shard), key, record(vec![1]).unwrap().into()));
    }

    fn prepared(&mut self, shard: u16, id: u128, locks: Locks) {
        let Locks { coordinator, whole, reads, range, writes } = locks;
        let ranges: Vec<_> = range.into_iter().collect();
        let writes: Vec<_> = writes.iter().map(|key| (*key, Some(&b"v"[..]))).collect();
        let record = ((1u64, 7u32, 1u64), coordinator, 0u32, whole, reads, ranges, writes);
        self.beside(shard, key(b'p', &id.to_be_bytes()), |out| postcard::to_extend(&record, out));
    }

    fn decided(&mut self, shard: u16, participants: &[u16]) {
        let record = (participants, &b"reply"[..]);
        self.beside(shard, key(b'd', &ID.to_be_bytes()), |out| postcard::to_extend(&record, out));
    }

    fn executor(&mut self, shard: u16, epoch: u32, floor: u64, over: &[u64]) {
        let record = (epoch, floor, over);
        self.beside(shard, key(b'x', &7u32.to_be_bytes()), |out| postcard::to_extend(&record, out));
    }
}

pub(super) const PLANTS: &[Plant] = &[
    ("a host's record of a later version", Kind::Record, "the host's record", |good| {
        good.beside.push((ShardId(2), key(b'd', &ID.to_be_bytes()), Bytes::from_static(b"\x02")));
    }),
    ("a host's record of an unknown letter", Kind::Record, "the host's record", |good| {
        good.beside(2, key(b'q', &[]), |out| postcard::to_extend(&0u8, out));
    }),
    ("a record in a shard that does not hold its slot", Kind::Record, "does not hold its slot", |good| {
        good.beside.push((ShardId(2), [&[1], FIRST].concat(), Bytes::from_static(b"\x01")));
    }),
    ("locks of a coordinator that is none", Kind::Transaction, "whose coordinator is no shard", |good| {
        good.prepared(4, ID, Locks { coordinator: 99, ..ORDINARY });
    }),
    ("locks that nobody knows", Kind::Transaction, "its coordinator does not know", |good| {
        good.prepared(4, ID, ORDINARY);
    }),
    ("a half that is not finished", Kind::Transaction, "decided and not finished", |good| {
        good.prepared(4, ID, ORDINARY);
        good.decided(0, &[4]);
    }),
    ("a decision that nobody needs", Kind::Transaction, "nobody needs to know", |good| {
        good.decided(0, &[3, 4]);
        good.executor(3, 1, 0, &[1, 3]);
        good.executor(4, 1, 4, &[]);
    }),
    ("a decision of a life that is over", Kind::Transaction, "nobody needs to know", |good| {
        good.decided(0, &[4]);
        good.executor(4, 2, 0, &[]);
    }),
    ("a half that is lost", Kind::Transaction, "shard 3 has lost its part", |good| {
        good.decided(0, &[3, 4]);
        good.prepared(4, ID, ORDINARY);
    }),
    ("a half that is lost beside others' ends", Kind::Transaction, "shard 3 has lost its part", |good| {
        good.decided(0, &[3, 4]);
        good.executor(3, 1, 2, &[0, 2]);
        good.executor(4, 1, 2, &[1]);
    }),
    ("a decision that its own shard takes part in", Kind::Transaction, "can be no part", |good| {
        good.decided(0, &[0]);
    }),
    ("a decision with a shard that is none", Kind::Transaction, "with shard 99", |good| {
        good.decided(0, &[99]);
    }),
    ("locks of who coordinates", Kind::Transaction, "by its own coordinator", |good| {
        good.prepared(4, ID, Locks { coordinator: 4, ..ORDINARY });
    }),
    ("locks of who has ended", Kind::Transaction, "prepared and has ended", |good| {
        good.prepared(4, ID, ORDINARY);
        good.executor(4, 1, 3, &[0]);
    }),
    ("a decision about what was stale", Kind::Transaction, "not prepared as a whole", |good| {
        good.prepared(4, ID, Locks { whole: false, ..ORDINARY });
        good.decided(0, &[4]);
    }),
    ("a decision without one that is prepared", Kind::Transaction, "decided without this shard", |good| {
        good.prepared(4, ID, ORDINARY);
        good.prepared(3, ID, Locks { writes: &[], ..ORDINARY });
        good.decided(0, &[4]);
    }),
    ("a write for another shard", Kind::Transaction, "another shard's", |good| {
        good.prepared(4, ID, Locks { writes: &[FIRST], ..ORDINARY });
    }),
    ("a read for another shard", Kind::Transaction, "another shard's", |good| {
        good.prepared(4, ID, Locks { reads: &[FIRST], ..ORDINARY });
    }),
    ("a range for another shard", Kind::Transaction, "another shard's", |good| {
        good.prepared(4, ID, Locks { range: Some((FIRST, LAST)), ..ORDINARY });
    }),
    ("one key for two", Kind::Transaction, "as is transaction 7.1.3", |good| {
        good.prepared(4, ID, ORDINARY);
        good.prepared(4, ID_AFTER, ORDINARY);
    }),
];
