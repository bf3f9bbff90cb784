//! Written bytes that wait to be durable.

use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use types::{ByteRange, FsError, RequestId, Time};

/// Writes shorter than this are copied, so that they do not keep a whole network buffer alive.
const KEEP_BYTES_MIN: usize = 32 * 1024;
/// What a run costs beside its bytes, about.
const RUN_BYTES: u64 = 128;

/// Bytes of a file by offset, none overlapping; the later write has won.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    runs: BTreeMap<u64, Bytes>,
    bytes: u64,
    /// One past the last byte written.
    pub(crate) end: u64,
    /// When the last write was, unless the times have been set since.
    pub(crate) written: Option<Time>,
    /// Appends that are among them, by client and channel: of a channel that has gone on nobody asks again.
    appends: BTreeMap<Channel, (RequestId, ByteRange)>,
}

/// A client, and one of its channels.
type Channel = (u128, u32);

fn channel(request: &RequestId) -> Channel {
    (request.client, request.channel)
}

impl Dirty {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.written.is_none() && self.appends.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that it takes, about.
    pub(crate) fn cost(&self) -> u64 {
        self.bytes + RUN_BYTES * self.runs.len() as u64
    }

    /// Where that append went, if it is among them.
    ///
    /// # Errors
    /// [`FsError::StaleRequest`] when its channel has gone on since.
    pub(crate) fn offset_of(&self, request: &RequestId) -> Result<Option<u64>, FsError> {
        match self.appends.get(&channel(request)) {
            Some((held, _)) if held.sequence > request.sequence => Err(FsError::StaleRequest),
            Some((held, range)) if held == request => Ok(Some(range.offset)),
            _ => Ok(None),
        }
    }

    /// What was put at `range` is this append.
    pub(crate) fn note_append(&mut self, request: RequestId, range: ByteRange) {
        self.appends.insert(channel(&request), (request, range));
    }

    /// The appends among them, and where they went.
    pub(crate) fn appends(&self) -> impl Iterator<Item = (RequestId, ByteRange)> {
        self.appends.values().copied()
    }

    /// The file was cut or extended to `size`, now.
    pub(crate) fn resized(&mut self, size: u64) {
        self.remove(ByteRange { offset: size, end: u64::MAX });
        self.end = self.end.min(size);
        self.written = None;
    }

    /// Puts `data` at `offset`, over whatever was there.
    pub(crate) fn insert(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let range = ByteRange::new(offset, data.len() as u64);
        self.remove(range);
        let data = if data.len() < KEEP_BYTES_MIN { Bytes::copy_from_slice(&data) } else { data };
        self.bytes += range.len();
        self.end = self.end.max(range.end);
        self.runs.insert(offset, data);
    }

    /// Forgets the bytes of `range`.
    pub(crate) fn remove(&mut self, range: ByteRange) {
        let before = self.runs.range(..range.offset).next_back();
        let reaches = |(offset, data): &(&u64, &Bytes)| *offset + data.len() as u64 > range.offset;
        let met = before.filter(reaches).into_iter().chain(self.runs.range(range.offset..range.end));
        let met = met.map(|(offset, _)| *offset);
        for offset in met.collect::<Vec<_>>() {
            let Some(data) = self.runs.remove(&offset) else { continue };
            let own = ByteRange::new(offset, data.len() as u64);
            self.bytes -= own.len();
            let keep = [
                ByteRange { offset, end: own.end.min(range.offset) },
                ByteRange { offset: offset.max(range.end), end: own.end },
            ];
            for part in keep.into_iter().filter(|part| !part.is_empty()) {
                // Copied, so that what is left of a buffer does not keep all of it alive.
                let left = &data[position(part.offset - offset)..position(part.end - offset)];
                self.bytes += part.len();
                self.runs.insert(part.offset, Bytes::copy_from_slice(left));
            }
        }
    }

    /// Lays `later` over this.
    pub(crate) fn merge(&mut self, later: Dirty) {
        for (offset, data) in later.runs {
            self.insert(offset, data);
        }
        self.end = self.end.max(later.end);
        self.written = later.written.or(self.written);
        self.appends.extend(later.appends);
    }

    /// The runs that meet `range`, clipped to it.
    pub(crate) fn within(&self, range: ByteRange) -> Vec<(u64, Bytes)> {
        let first = self.runs.range(..range.offset).next_back();
        let rest = self.runs.range(range.offset..range.end.max(range.offset));
        first
            .into_iter()
            .chain(rest)
            .filter_map(|(&offset, data)| {
                let from = range.offset.max(offset);
                let to = range.end.min(offset + data.len() as u64);
                (from < to).then(|| (from, data.slice(position(from - offset)..position(to - offset))))
            })
            .collect()
    }

    /// Contiguous stretches, each as its offset and the runs that make it up.
    pub(crate) fn stretches(&self) -> Vec<(u64, Vec<Bytes>)> {
        let mut stretches: Vec<(u64, Vec<Bytes>)> = Vec::new();
        let mut end = None;
        for (&offset, data) in &self.runs {
            match stretches.last_mut() {
                Some((_, runs)) if end == Some(offset) => runs.push(data.clone()),
                _ => stretches.push((offset, vec![data.clone()])),
            }
            end = Some(offset + data.len() as u64);
        }
        stretches
    }
}

/// One buffer of several, without a copy when there is just one.
pub(crate) fn join(mut runs: Vec<Bytes>) -> Bytes {
    if runs.len() == 1 {
        return runs.pop().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(runs.iter().map(Bytes::len).sum());
    for run in runs {
        joined.extend_from_slice(&run);
    }
    joined.freeze()
}

/// A position inside a buffer, which is never longer than memory.
pub(crate) fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_write_behind_another_leaves_that_where_it_is() {
        let (first, second) = (Bytes::from(vec![1; KEEP_BYTES_MIN]), Bytes::from(vec![2; KEEP_BYTES_MIN]));
        let mut dirty = Dirty::default();
        dirty.insert(0, first.clone());
        dirty.insert(first.len() as u64, second.clone());
        let stretches = dirty.stretches();
        let places: Vec<_> = stretches[0].1.iter().map(|run| run.as_ptr()).collect();
        assert_eq!(places, [first.as_ptr(), second.as_ptr()]);
    }

    proptest! {
        #[test]
        fn the_later_write_wins(steps in prop::collection::vec((0u64..64, 0usize..24, any::<u8>(), 0u8..3), 0..40)) {
            let mut dirty = Dirty::default();
            let mut model = [None::<u8>; 128];
            for (offset, length, byte, what) in steps {
                let at = offset as usize;
                match what {
                    0 => {
                        dirty.remove(ByteRange::new(offset, length as u64));
                        model[at..at + length].fill(None);
                    }
                    _ => {
                        dirty.insert(offset, vec![byte; length].into());
                        model[at..at + length].fill(Some(byte));
                    }
                }
            }
            let mut seen = [None::<u8>; 128];
            for (offset, data) in dirty.within(ByteRange::new(0, 128)) {
                for (i, byte) in data.iter().enumerate() {
                    seen[offset as usize + i] = Some(*byte);
                }
            }
            prop_assert_eq!(seen, model);
            prop_assert_eq!(dirty.bytes(), model.iter().flatten().count() as u64);
            let stretched: usize = dirty.stretches().into_iter().map(|(_, runs)| join(runs).len()).sum();
            prop_assert_eq!(stretched as u64, dirty.bytes());
        }
    }
}
