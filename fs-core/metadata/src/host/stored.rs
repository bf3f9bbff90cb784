//! How a shard's map is shared: the machine's keys stand behind one byte, the host's own behind another, so
//! that neither can meet the other's (`docs/formats/log.md`).

use crate::transaction::TxId;
use bytes::Bytes;
use map::{MapError, OrderedMap, Visit};

/// First byte of the host's own keys. The mark is this byte alone.
const HOST: u8 = 0;
/// First byte of the machine's keys.
const MACHINE: u8 = 1;

const PREPARED: u8 = b'p';
const DECIDED: u8 = b'd';
const EXECUTOR: u8 = b'x';
const ELDER: u8 = b'e';

/// Longest key of a machine.
pub(crate) const MACHINE_KEY_MAX: usize = u16::MAX as usize - 1;

fn of_transaction(kind: u8, tx: TxId) -> Vec<u8> {
    [&[HOST, kind][..], &tx.as_u128().to_be_bytes()].concat()
}

/// What a transaction holds here.
pub(crate) fn prepared(tx: TxId) -> Vec<u8> {
    of_transaction(PREPARED, tx)
}

/// The decision about a transaction, and what it was answered.
pub(crate) fn decided(tx: TxId) -> Vec<u8> {
    of_transaction(DECIDED, tx)
}

/// What is known of an executor.
pub(crate) fn executor(executor: u32) -> Vec<u8> {
    [&[HOST, EXECUTOR][..], &executor.to_be_bytes()].concat()
}

/// The oldest transaction that waits.
pub(crate) fn elder() -> Vec<u8> {
    vec![HOST, ELDER]
}

/// All keys of a kind of the host's: from, to.
fn all(kind: u8) -> ([u8; 2], [u8; 2]) {
    ([HOST, kind], [HOST, kind + 1])
}

/// All that is prepared.
pub(crate) fn all_prepared() -> ([u8; 2], [u8; 2]) {
    all(PREPARED)
}

/// All that is decided.
pub(crate) fn all_decided() -> ([u8; 2], [u8; 2]) {
    all(DECIDED)
}

/// All executors.
pub(crate) fn all_executors() -> ([u8; 2], [u8; 2]) {
    all(EXECUTOR)
}

/// The number behind the kind in a host's key.
pub(crate) fn number<const N: usize>(key: &[u8]) -> Option<[u8; N]> {
    key.get(2..)?.try_into().ok()
}

/// Where a machine's key stands.
pub(crate) fn of_machine(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(MACHINE);
    stored.extend_from_slice(key);
    stored
}

/// The machine's part of a stored map.
pub(crate) struct OfMachine<'a>(pub(crate) &'a dyn OrderedMap);

impl OrderedMap for OfMachine<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        // Most keys are short: no allocation for them.
        let mut short = [MACHINE; 96];
        match short.get_mut(1..=key.len()) {
            Some(place) => {
                place.copy_from_slice(key);
                self.0.get(&short[..=key.len()])
            }
            None => self.0.get(&of_machine(key)),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan(&of_machine(from), &of_machine(to), &mut |key, value| visit(&key[1..], value))
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.0.scan_back(&of_machine(from), &of_machine(to), &mut |key, value| visit(&key[1..], value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use map::{MemoryMap, OrderedMapMut};

    #[test]
    fn a_machine_sees_its_own_keys_only_and_all_of_them() {
        let mut stored = MemoryMap::default();
        let tx = TxId { executor: 1, epoch: 2, number: 3 };
        for key in
            [prepared(tx), decided(tx), executor(7), elder(), vec![HOST], vec![2], vec![MACHINE + 1, 0]]
        {
            stored.put(&key, Bytes::from_static(b"host"));
        }
        let long = [7; 300];
        let keys: [&[u8]; 6] = [b"\0", b"\0p", b"a", &[0xff; 95], &[0xff; 96], &long];
        for key in keys {
            stored.put(&of_machine(key), Bytes::copy_from_slice(key));
        }
        let map = OfMachine(&stored);
        for key in keys {
            assert_eq!(map.get(key).unwrap().as_deref(), Some(key));
        }
        let mut seen = Vec::new();
        map.scan(&[], &[0xff; 400], &mut |key, value| {
            assert_eq!(key, value);
            seen.push(key.to_vec());
            true
        })
        .unwrap();
        let mut back = Vec::new();
        map.scan_back(&[], &[0xff; 400], &mut |key, _| {
            back.push(key.to_vec());
            true
        })
        .unwrap();
        back.reverse();
        assert_eq!((seen.len(), &seen), (keys.len(), &back));
    }

    #[test]
    fn the_hosts_keys_are_frozen() {
        let tx = TxId { executor: 1, epoch: 2, number: 3 };
        assert_eq!(prepared(tx), b"\0p\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x03");
        assert_eq!(executor(0x0102), b"\0x\0\0\x01\x02");
        assert_eq!(number::<16>(&prepared(tx)).map(u128::from_be_bytes), Some(tx.as_u128()));
        let (from, to) = all_prepared();
        assert!(from[..] <= prepared(tx)[..] && prepared(tx)[..] < to[..]);
    }
}
