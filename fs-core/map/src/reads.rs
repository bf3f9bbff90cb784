//! What a command read, so that it can be seen later whether the same would be read again.

use crate::{MapError, OrderedMap, Visit};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A value that was read under the guard of another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// What was there.
    pub value: Option<Bytes>,
    /// The key that changes with it.
    pub guard: Vec<u8>,
}

/// A range that was visited, to the end or as far as the reader went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeRead {
    /// The first key.
    pub from: Vec<u8>,
    /// One past the last.
    pub to: Vec<u8>,
    /// All that was there, in ascending order.
    pub found: Vec<(Vec<u8>, Bytes)>,
}

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Single keys.
    pub gets: BTreeMap<Vec<u8>, Option<Bytes>>,
    /// Single keys that others guard.
    pub peeks: BTreeMap<Vec<u8>, Peek>,
    /// Ranges; they may overlap.
    pub ranges: Vec<RangeRead>,
}

impl Reads {
    /// Makes of what others guard keys that stand for themselves.
    pub fn unguard(&mut self) {
        for (key, peek) in std::mem::take(&mut self.peeks) {
            self.gets.entry(key).or_insert(peek.value);
        }
    }

    /// Whether `map` still has all of this. Equal values are taken for unchanged ones.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn hold_in(&self, map: &dyn OrderedMap) -> Result<bool, MapError> {
        let peeks = self.peeks.iter().map(|(key, peek)| (key, &peek.value));
        for (key, value) in self.gets.iter().chain(peeks) {
            if map.get(key)? != *value {
                return Ok(false);
            }
        }
        for range in &self.ranges {
            let mut expected = range.found.iter();
            let mut same = true;
            map.scan(&range.from, &range.to, &mut |key, value| {
                same = expected.next().is_some_and(|(k, v)| k == key && v == value);
                same
            })?;
            if !same || expected.next().is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A map that notes what is read of it.
pub struct Recorder<'a> {
    below: &'a dyn OrderedMap,
    reads: RefCell<Reads>,
}

impl<'a> Recorder<'a> {
    /// Reads of `below`, nothing read yet.
    #[must_use]
    pub fn new(below: &'a dyn OrderedMap) -> Recorder<'a> {
        Recorder { below, reads: RefCell::default() }
    }

    /// What was read.
    #[must_use]
    pub fn into_reads(self) -> Reads {
        self.reads.into_inner()
    }
}

/// The key right after `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl OrderedMap for Recorder<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        let value = self.below.get(key)?;
        self.reads.borrow_mut().gets.insert(key.to_vec(), value.clone());
        Ok(value)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let mut found = Vec::new();
        let mut stopped = false;
        self.below.scan(from, to, &mut |key, value| {
            found.push((key.to_vec(), Bytes::copy_from_slice(value)));
            stopped = !visit(key, value);
            !stopped
        })?;
        let to = match found.last() {
            Some((last, _)) if stopped => after(last),
            _ => to.to_vec(),
        };
        self.reads.borrow_mut().ranges.push(RangeRead { from: from.to_vec(), to, found });
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        let mut found = Vec::new();
        let mut stopped = false;
        self.below.scan_back(from, to, &mut |key, value| {
            found.push((key.to_vec(), Bytes::copy_from_slice(value)));
            stopped = !visit(key, value);
            !stopped
        })?;
        found.reverse();
        let from = match found.first() {
            Some((first, _)) if stopped => first.clone(),
            _ => from.to_vec(),
        };
        self.reads.borrow_mut().ranges.push(RangeRead { from, to: to.to_vec(), found });
        Ok(())
    }

    fn get_under(&self, key: &[u8], guard: &[u8]) -> Result<Option<Bytes>, MapError> {
        if !self.reads.borrow().gets.contains_key(guard) {
            return self.get(key);
        }
        let value = self.below.get_under(key, guard)?;
        let peek = Peek { value: value.clone(), guard: guard.to_vec() };
        self.reads.borrow_mut().peeks.insert(key.to_vec(), peek);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryMap, OrderedMapMut};
    use proptest::prelude::*;

    fn map(pairs: &[(u8, u8)]) -> MemoryMap {
        let mut map = MemoryMap::default();
        for (key, value) in pairs {
            map.put(&[*key], Bytes::copy_from_slice(&[*value]));
        }
        map
    }

    #[derive(Clone, Debug)]
    enum Ask {
        Get(u8),
        Scan(u8, u8, usize),
        Back(u8, u8, usize),
    }

    fn ask() -> impl Strategy<Value = Ask> {
        prop_oneof![
            (0u8..12).prop_map(Ask::Get),
            (0u8..12, 0u8..12, 1usize..4).prop_map(|(from, to, n)| Ask::Scan(from, to, n)),
            (0u8..12, 0u8..12, 1usize..4).prop_map(|(from, to, n)| Ask::Back(from, to, n)),
        ]
    }

    /// Everything that was heard.
    fn answers(map: &dyn OrderedMap, asks: &[Ask]) -> Vec<(Vec<u8>, Option<Bytes>)> {
        let mut heard = Vec::new();
        for ask in asks {
            let (mut seen, limit) = (0, if let Ask::Scan(.., n) | Ask::Back(.., n) = ask { *n } else { 1 });
            let mut visit = |key: &[u8], value: &[u8]| {
                heard.push((key.to_vec(), Some(Bytes::copy_from_slice(value))));
                seen += 1;
                seen < limit
            };
            match ask {
                Ask::Get(key) => heard.push((vec![*key], map.get(&[*key]).unwrap())),
                Ask::Scan(from, to, _) => map.scan(&[*from], &[*to], &mut visit).unwrap(),
                Ask::Back(from, to, _) => map.scan_back(&[*from], &[*to], &mut visit).unwrap(),
            }
            heard.push((Vec::new(), None));
        }
        heard
    }

    proptest! {
        /// What holds gives the same answers, and what gives other answers does not hold.
        #[test]
        fn reads_hold_where_the_same_is_read_again(
            before in prop::collection::vec((0u8..10, 0u8..3), 0..8),
            change in prop::option::of((0u8..10, prop::option::of(0u8..3))),
            asks in prop::collection::vec(ask(), 0..4),
        ) {
            let below = map(&before);
            let recorder = Recorder::new(&below);
            let heard = answers(&recorder, &asks);
            let reads = recorder.into_reads();
            prop_assert_eq!(&heard, &answers(&below, &asks));
            prop_assert!(reads.hold_in(&below).unwrap());
            let mut changed = below.clone();
            match change {
                Some((key, Some(value))) => changed.put(&[key], Bytes::copy_from_slice(&[value])),
                Some((key, None)) => changed.delete(&[key]),
                None => {}
            }
            prop_assert_eq!(reads.hold_in(&changed).unwrap(), answers(&changed, &asks) == heard);
        }
    }

    #[test]
    fn what_is_read_under_a_guard_that_was_read_is_noted_apart() {
        let below = map(&[(1, 1), (2, 2)]);
        let recorder = Recorder::new(&below);
        recorder.get_under(&[2], &[1]).unwrap();
        recorder.get(&[1]).unwrap();
        recorder.get_under(&[3], &[1]).unwrap();
        let reads = recorder.into_reads();
        assert_eq!(reads.gets.keys().collect::<Vec<_>>(), [&[1], &[2]], "2 was read before its guard");
        assert_eq!(reads.peeks.get(&[3][..]), Some(&Peek { value: None, guard: vec![1] }));
    }
}
