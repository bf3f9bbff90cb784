//! Owned memory that direct I/O accepts, and that becomes `Bytes` without a copy.

use bytes::Bytes;
use parking_lot::Mutex;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use types::limits::BLOCK_BYTES;

/// Buffers from here on are kept for others when they are given up: getting pages from the kernel and zeroing them costs
/// more than reading them from a drive's memory.
const KEPT_FROM: usize = 128 << 10;
/// The step of the sizes of such buffers.
const STEP: usize = 128 << 10;
/// Sizes there are: a chunk with its header, and half as much again.
const SIZES: usize = 12;
/// Bytes that are kept in all.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Memory that is kept, by its size.
static SHELF: Mutex<Shelf> = Mutex::new(Shelf { by_size: [const { Vec::new() }; SIZES], bytes: 0 });

struct Shelf {
    by_size: [Vec<Memory>; SIZES],
    bytes: usize,
}

/// Initialised memory on a 4 KiB boundary.
struct Memory {
    start: NonNull<u8>,
    /// More than 0.
    length: usize,
}

// SAFETY: it owns its memory alone, as a Box<[u8]> does.
unsafe impl Send for Memory {}
// SAFETY: shared access only reads.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeros from the allocator.
    fn new(length: usize) -> Memory {
        let layout = Memory::layout(length);
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Memory { start, length },
            None => handle_alloc_error(layout),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "fails only for lengths near isize::MAX, which no caller has memory for"
    )]
    fn layout(length: usize) -> Layout {
        Layout::from_size_align(length, BLOCK_BYTES).expect("a length that memory can hold")
    }

    /// Memory for this length that was used before, or none is there.
    fn from_shelf(length: usize) -> Option<Memory> {
        let mut shelf = SHELF.lock();
        let memory = shelf.by_size.get_mut(place(length)?)?.pop()?;
        shelf.bytes -= memory.length;
        Some(memory)
    }

    fn give_up(self) {
        let Some(at) = place(self.length) else { return };
        let mut shelf = SHELF.lock();
        if shelf.bytes + self.length <= KEPT_BYTES_MAX {
            shelf.bytes += self.length;
            shelf.by_size[at].push(self);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), Memory::layout(self.length)) }
    }
}

/// Where memory for this length is kept, if it is.
fn place(length: usize) -> Option<usize> {
    (length >= KEPT_FROM).then(|| length.div_ceil(STEP) - 1).filter(|at| *at < SIZES)
}

/// Bytes that start on a 4 KiB boundary. The length is fixed at creation.
pub struct AlignedBuf {
    /// None for no bytes at all.
    memory: Option<Memory>,
    length: usize,
}

impl AlignedBuf {
    /// `length` zero bytes; `length` need not be a multiple of the block, though direct I/O wants it.
    #[must_use]
    pub fn zeroed(length: usize) -> AlignedBuf {
        let (mut buffer, used) = AlignedBuf::get(length);
        if used {
            buffer.fill(0);
        }
        buffer
    }

    /// `length` bytes that have any values, for who writes all of them before anybody else sees them.
    #[must_use]
    pub fn used(length: usize) -> AlignedBuf {
        AlignedBuf::get(length).0
    }

    /// And whether they have been used before.
    fn get(length: usize) -> (AlignedBuf, bool) {
        if length == 0 {
            return (AlignedBuf { memory: None, length }, false);
        }
        if let Some(memory) = Memory::from_shelf(length) {
            return (AlignedBuf { memory: Some(memory), length }, true);
        }
        let size = place(length).map_or(length, |at| (at + 1) * STEP);
        (AlignedBuf { memory: Some(Memory::new(size)), length }, false)
    }

    /// A copy of `bytes` behind `head` zero bytes, and in front of `tail` more.
    #[must_use]
    pub fn copied(head: usize, bytes: &[u8], tail: usize) -> AlignedBuf {
        let end = head + bytes.len();
        let mut buffer = AlignedBuf::used(end + tail);
        buffer[..head].fill(0);
        buffer[head..end].copy_from_slice(bytes);
        buffer[end..].fill(0);
        buffer
    }

    /// A copy of `bytes`, padded with zeros to whole blocks.
    #[must_use]
    pub fn padded_copy(bytes: &[u8]) -> AlignedBuf {
        AlignedBuf::copied(0, bytes, bytes.len().next_multiple_of(BLOCK_BYTES) - bytes.len())
    }

    /// The same memory as shared bytes; given up with the last of them.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    fn start(&self) -> NonNull<u8> {
        self.memory.as_ref().map_or(NonNull::dangling(), |memory| memory.start)
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            memory.give_up();
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the memory has at least `length` initialised bytes; for zero any pointer that is not null does.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.length) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({})", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_padded_and_frozen_in_place() {
        for length in [1, 4095, 4096, 4097, 1 << 20] {
            let buffer = AlignedBuf::zeroed(length);
            assert_eq!(buffer.as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(buffer.len(), length);
            assert!(buffer.iter().all(|&b| b == 0));
        }
        let buffer = AlignedBuf::padded_copy(b"abc");
        assert_eq!((buffer.len(), &buffer[..4]), (4096, &b"abc\0"[..]));
        assert!(AlignedBuf::padded_copy(b"").is_empty());
        let copied = AlignedBuf::copied(3, b"abc", 2);
        assert_eq!((&copied[..], copied.as_ptr().align_offset(BLOCK_BYTES)), (&b"\0\0\0abc\0\0"[..], 0));
        assert_eq!(&AlignedBuf::copied(2, b"", 1)[..], b"\0\0\0");
        let at = buffer.as_ptr();
        let bytes = buffer.freeze();
        assert_eq!(bytes.as_ptr(), at);
        assert!(AlignedBuf::zeroed(0).freeze().is_empty());
    }

    #[test]
    fn memory_that_was_used_comes_back_within_bounds_and_zeros_are_zeros() {
        // Nobody else here asks for this size.
        let length = 5 * STEP - 1;
        let mut buffer = AlignedBuf::zeroed(length);
        buffer.fill(7);
        let at = buffer.as_ptr();
        let bytes = buffer.freeze();
        let part = bytes.slice(1..2);
        drop(bytes);
        assert_ne!(AlignedBuf::used(length).as_ptr(), at, "a part of it is still in use");
        drop(part);
        let again: Vec<AlignedBuf> = (0..2).map(|_| AlignedBuf::used(length - BLOCK_BYTES)).collect();
        assert!(again.iter().any(|buffer| buffer.as_ptr() == at && buffer.iter().all(|byte| *byte == 7)));
        drop(again);
        assert!(AlignedBuf::zeroed(length).iter().all(|byte| *byte == 0));

        let many: Vec<AlignedBuf> = (0..100).map(|_| AlignedBuf::used(8 * STEP)).collect();
        drop(many);
        let shelf = SHELF.lock();
        let kept: usize = shelf.by_size.iter().flatten().map(|memory| memory.length).sum();
        assert_eq!(kept, shelf.bytes);
        assert!(kept <= KEPT_BYTES_MAX);
    }
}
