//! The bytes of a regular file: blocks of 4 KiB, a missing block is a hole.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use types::limits::BLOCK_BYTES;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// Sparse data and their length.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) size: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Content {
    /// Bytes that are not holes.
    pub(crate) fn used(&self) -> u64 {
        self.blocks.len() as u64 * BLOCK
    }

    /// The bytes of `range` as far as the file reaches.
    pub(crate) fn read(&self, range: Range<u64>) -> Bytes {
        let end = range.end.min(self.size);
        if range.start >= end {
            return Bytes::new();
        }
        let mut data = vec![0; (end - range.start) as usize];
        for (&index, block) in self.blocks.range(range.start / BLOCK..end.div_ceil(BLOCK)) {
            let from = (index * BLOCK).max(range.start);
            let to = ((index + 1) * BLOCK).min(end);
            data[(from - range.start) as usize..(to - range.start) as usize]
                .copy_from_slice(&block[(from - index * BLOCK) as usize..(to - index * BLOCK) as usize]);
        }
        data.into()
    }

    /// Puts `data` at `offset`, extending the file where it ends before.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let mut at = offset;
        while at < end {
            let index = at / BLOCK;
            let to = ((index + 1) * BLOCK).min(end);
            let block = self.blocks.entry(index).or_insert_with(|| vec![0; BLOCK_BYTES].into());
            block[(at - index * BLOCK) as usize..(to - index * BLOCK) as usize]
                .copy_from_slice(&data[(at - offset) as usize..(to - offset) as usize]);
            at = to;
        }
        if !data.is_empty() {
            self.size = self.size.max(end);
        }
    }

    /// Makes `range` read as zeros; whole blocks become holes. The size stays.
    pub(crate) fn punch(&mut self, range: Range<u64>) {
        let indexes: Vec<u64> =
            self.blocks.range(range.start / BLOCK..range.end.div_ceil(BLOCK)).map(|(&i, _)| i).collect();
        for index in indexes {
            let from = (index * BLOCK).max(range.start) - index * BLOCK;
            let to = ((index + 1) * BLOCK).min(range.end) - index * BLOCK;
            if to - from == BLOCK {
                self.blocks.remove(&index);
            } else if let Some(block) = self.blocks.get_mut(&index) {
                block[from as usize..to as usize].fill(0);
            }
        }
    }

    /// Cuts, or extends by a hole.
    pub(crate) fn resize(&mut self, size: u64) {
        if size < self.size {
            self.punch(size..size.next_multiple_of(BLOCK));
            self.blocks.split_off(&size.div_ceil(BLOCK));
        }
        self.size = size;
    }

    /// The first byte of data at or after `offset`; `offset` lies in the file.
    pub(crate) fn data_after(&self, offset: u64) -> Option<u64> {
        let (&index, _) = self.blocks.range(offset / BLOCK..).next()?;
        let found = (index * BLOCK).max(offset);
        (found < self.size).then_some(found)
    }

    /// The first byte of a hole at or after `offset`; the end of the file is one.
    pub(crate) fn hole_after(&self, offset: u64) -> u64 {
        let mut index = offset / BLOCK;
        while self.blocks.contains_key(&index) {
            index += 1;
        }
        (index * BLOCK).max(offset).min(self.size)
    }

    /// Replaces `to..` by what `from` has in `range`, holes included.
    pub(crate) fn clone_from_range(&mut self, from: &Content, range: Range<u64>, to: u64) {
        let length = range.end - range.start;
        self.punch(to..to + length);
        let mut at = range.start;
        while let Some(data) = from.data_after(at).filter(|data| *data < range.end) {
            let end = from.hole_after(data).min(range.end).min(data + (1 << 20));
            self.write(to + (data - range.start), &from.read(data..end));
            at = end;
            if at >= from.size {
                break;
            }
        }
        self.size = self.size.max(to + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_holes_are_told_apart() {
        let mut content = Content::default();
        content.write(3 * BLOCK + 5, b"abc");
        assert_eq!(content.size, 3 * BLOCK + 8);
        assert_eq!(content.used(), BLOCK);
        assert_eq!(content.data_after(0), Some(3 * BLOCK));
        assert_eq!(content.hole_after(3 * BLOCK), content.size);
        assert_eq!(content.hole_after(7), 7);
        assert_eq!(&content.read(3 * BLOCK + 4..u64::MAX)[..], b"\0abc");
        content.resize(3 * BLOCK + 6);
        content.resize(10 * BLOCK);
        assert_eq!(&content.read(3 * BLOCK + 5..3 * BLOCK + 8)[..], b"a\0\0");
        assert_eq!(content.data_after(4 * BLOCK), None);
        content.punch(3 * BLOCK..4 * BLOCK);
        assert_eq!(content.used(), 0);
    }

    #[test]
    fn a_clone_takes_holes_along() {
        let mut from = Content::default();
        from.write(BLOCK, &[7; BLOCK_BYTES]);
        from.resize(3 * BLOCK + 1);
        let mut to = Content::default();
        to.write(0, &[9; 6 * BLOCK_BYTES]);
        let size = from.size;
        to.clone_from_range(&from, 0..size, BLOCK);
        assert_eq!(to.size, 6 * BLOCK);
        assert_eq!(to.hole_after(0), BLOCK);
        assert_eq!(to.data_after(BLOCK), Some(2 * BLOCK));
        assert_eq!(to.read(2 * BLOCK..2 * BLOCK + 1)[0], 7);
        assert_eq!(&to.read(4 * BLOCK..4 * BLOCK + 2)[..], [0, 9]);
    }
}
