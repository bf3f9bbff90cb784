//! Owned memory that direct I/O accepts, and that becomes `Bytes` without a copy.

use bytes::Bytes;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use types::limits::BLOCK_BYTES;

/// Bytes that start on a 4 KiB boundary. The length is fixed at creation.
pub struct AlignedBuf {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the buffer owns its memory alone, as a Box<[u8]> does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// `length` zero bytes; `length` need not be a multiple of the block, though direct I/O wants it.
    #[must_use]
    pub fn zeroed(length: usize) -> AlignedBuf {
        if length == 0 {
            return AlignedBuf { start: NonNull::dangling(), length: 0 };
        }
        let layout = Self::layout(length);
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => AlignedBuf { start, length },
            None => handle_alloc_error(layout),
        }
    }

    /// A copy of `bytes` behind `head` zero bytes, and in front of `tail` more.
    #[must_use]
    pub fn copied(head: usize, bytes: &[u8], tail: usize) -> AlignedBuf {
        let length = head + bytes.len() + tail;
        if bytes.is_empty() {
            return AlignedBuf::zeroed(length);
        }
        let layout = Self::layout(length);
        // SAFETY: the layout has a size above zero.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the three parts fill the new memory exactly, which nobody else has.
        unsafe {
            start.as_ptr().write_bytes(0, head);
            start.as_ptr().add(head).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            start.as_ptr().add(head + bytes.len()).write_bytes(0, tail);
        }
        AlignedBuf { start, length }
    }

    /// A copy of `bytes`, padded with zeros to whole blocks.
    #[must_use]
    pub fn padded_copy(bytes: &[u8]) -> AlignedBuf {
        AlignedBuf::copied(0, bytes, bytes.len().next_multiple_of(BLOCK_BYTES) - bytes.len())
    }

    /// The same memory as shared bytes; freed with the last of them.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    #[expect(
        clippy::expect_used,
        reason = "fails only for lengths near isize::MAX, which no caller has memory for"
    )]
    fn layout(length: usize) -> Layout {
        Layout::from_size_align(length, BLOCK_BYTES).expect("a length that memory can hold")
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: allocated in `zeroed` or `copied` with this very layout, and freed once.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.length)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes are owned; for zero the pointer is dangling but aligned.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
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
}
