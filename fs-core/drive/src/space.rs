//! Which units of a drive are free: runs by place and by length, so that both taking the best
//! fitting run and giving back are logarithmic.

use std::collections::{BTreeMap, BTreeSet};

/// Free runs, never adjacent to each other.
#[derive(Default, Debug)]
pub(crate) struct FreeSpace {
    by_start: BTreeMap<u64, u64>,
    by_length: BTreeSet<(u64, u64)>,
    free: u64,
}

impl FreeSpace {
    /// Units that are free.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Units of the longest free run.
    pub(crate) fn longest(&self) -> u64 {
        self.by_length.last().map_or(0, |&(length, _)| length)
    }

    /// Takes a run of `length` units: the start of the shortest run that is long enough.
    pub(crate) fn take(&mut self, length: u64) -> Option<u64> {
        let &(have, start) = self.by_length.range((length, 0)..).next()?;
        self.unlink(start, have);
        if have > length {
            self.link(start + length, have - length);
        }
        self.free -= length;
        Some(start)
    }

    /// Gives a run back. False, and nothing changes, when part of it is free already.
    pub(crate) fn give(&mut self, start: u64, length: u64) -> bool {
        let end = start + length;
        let before = self.by_start.range(..end).next_back().map(|(&s, &l)| (s, l));
        if before.is_some_and(|(s, l)| s + l > start) {
            return false;
        }
        let (mut start, mut whole) = (start, length);
        if let Some((s, l)) = before
            && s + l == start
        {
            self.unlink(s, l);
            start = s;
            whole += l;
        }
        if let Some(&l) = self.by_start.get(&end) {
            self.unlink(end, l);
            whole += l;
        }
        self.link(start, whole);
        self.free += length;
        true
    }

    fn link(&mut self, start: u64, length: u64) {
        self.by_start.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn unlink(&mut self, start: u64, length: u64) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_unit_is_given_twice_and_none_is_lost(steps in prop::collection::vec((any::<bool>(), 1..20u64, any::<usize>()), 0..200)) {
            let mut space = FreeSpace::default();
            assert!(space.give(10, 100));
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut used = BTreeSet::new();
            for (take, length, pick) in steps {
                if take {
                    let fits = (10..=110 - length).any(|s| (s..s + length).all(|u| !used.contains(&u)));
                    let got = space.take(length);
                    assert_eq!(got.is_some(), fits);
                    if let Some(start) = got {
                        assert!(start >= 10 && start + length <= 110);
                        assert!((start..start + length).all(|u| used.insert(u)));
                        taken.push((start, length));
                    }
                } else if !taken.is_empty() {
                    let (start, length) = taken.swap_remove(pick % taken.len());
                    assert!(space.give(start, length));
                    assert!(!space.give(start, length), "given twice");
                    (start..start + length).for_each(|u| assert!(used.remove(&u)));
                }
                assert_eq!(space.free(), 100 - used.len() as u64);
            }
        }
    }
}
