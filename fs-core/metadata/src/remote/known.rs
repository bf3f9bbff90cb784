//! What is known of a map: all entries of some ranges.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

/// Entries, and the ranges of which no others are.
#[derive(Clone, Default)]
pub(crate) struct Known {
    entries: BTreeMap<Bytes, Bytes>,
    /// From each first key to one past the last; they neither overlap nor touch.
    ranges: BTreeMap<Bytes, Bytes>,
}

/// The key right after `key`.
pub(crate) fn after(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

impl Known {
    /// All of `from..to` is in `entries`.
    pub(crate) fn learn(
        &mut self,
        from: &Bytes,
        to: &Bytes,
        entries: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) {
        if from >= to {
            return;
        }
        self.entries.extend(entries);
        let (mut from, mut to) = (from.clone(), to.clone());
        // Those that begin at or before the end, from the last on, down to the first that ends before the beginning.
        let reached = |(a, b): (&Bytes, &Bytes)| (b >= &from).then(|| (a.clone(), b.clone()));
        let touched: Vec<_> = self.ranges.range(..=to.clone()).rev().map_while(reached).collect();
        for (a, b) in touched {
            self.ranges.remove(&a);
            from = from.min(a);
            to = to.max(b);
        }
        self.ranges.insert(from, to);
    }

    /// The end of the range that `key` is in.
    pub(crate) fn end_behind(&self, key: &[u8]) -> Option<&Bytes> {
        let (_, end) =
            self.ranges.range::<[u8], _>((std::ops::Bound::Unbounded, Included(key))).next_back()?;
        Some(end).filter(|end| &end[..] > key)
    }

    /// The beginning of the range that reaches up to `key`, which need not be in it.
    pub(crate) fn begin_before(&self, key: &[u8]) -> Option<&Bytes> {
        let (begin, end) =
            self.ranges.range::<[u8], _>((std::ops::Bound::Unbounded, Excluded(key))).next_back()?;
        Some(begin).filter(|_| &end[..] >= key)
    }

    /// The value of a key that is in a known range.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(key)
    }

    /// The entries of a known range.
    pub(crate) fn entries<'a>(
        &'a self,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = (&'a Bytes, &'a Bytes)> + use<'a> {
        // An empty range must not be asked for backwards.
        let to = to.max(from);
        self.entries.range::<[u8], _>((Included(from), Excluded(to)))
    }
}
