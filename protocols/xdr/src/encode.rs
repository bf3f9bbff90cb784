//! Putting values together for the wire (RFC 4506).

use bytes::{BufMut, Bytes, BytesMut};

/// Opaque data from this size on are shared instead of copied.
const SHARE_BYTES_MIN: usize = 2048;

/// A value that can be written as XDR.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, e: &mut Encoder);
}

/// A growing run of XDR, in pieces so that large payloads are shared and not copied.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    pieces: Vec<Bytes>,
    tail: BytesMut,
    length: usize,
}

impl Encoder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Number of bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was put in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends an unsigned 32-bit integer.
    pub fn u32(&mut self, value: u32) {
        self.tail.put_u32(value);
        self.length += 4;
    }

    /// Appends unsigned 32-bit integers, one after the other.
    pub fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|word| self.u32(*word));
    }

    /// Appends an unsigned 64-bit integer.
    pub fn u64(&mut self, value: u64) {
        self.tail.put_u64(value);
        self.length += 8;
    }

    /// Appends a boolean.
    pub fn bool(&mut self, value: bool) {
        self.u32(u32::from(value));
    }

    /// Appends a count or length. Nothing that this crate can hold exceeds 32 bits.
    pub fn count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok());
        self.u32(count as u32);
    }

    /// Appends data of a length that the reader knows, and padding.
    pub fn fixed_opaque(&mut self, data: &[u8]) {
        self.tail.put_slice(data);
        self.length += data.len();
        self.pad(data.len());
    }

    /// Appends a length, data, and padding.
    pub fn opaque(&mut self, data: &[u8]) {
        self.count(data.len());
        self.fixed_opaque(data);
    }

    /// As [`Encoder::opaque`], without copying what is large.
    pub fn shared_opaque(&mut self, data: &Bytes) {
        self.count(data.len());
        if data.len() < SHARE_BYTES_MIN {
            self.fixed_opaque(data);
            return;
        }
        self.cut();
        self.pieces.push(data.clone());
        self.length += data.len();
        self.pad(data.len());
    }

    /// Appends all that another encoder holds.
    pub fn append(&mut self, other: Encoder) {
        self.length += other.length;
        if other.pieces.is_empty() {
            self.tail.extend_from_slice(&other.tail);
        } else {
            self.cut();
            self.pieces.extend(other.pieces);
            self.tail = other.tail;
        }
    }

    /// The bytes, in pieces to be sent one after the other.
    #[must_use]
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.cut();
        self.pieces
    }

    /// The bytes in one buffer; copies when there are several pieces.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let mut pieces = self.into_pieces();
        if pieces.len() <= 1 {
            return pieces.pop().unwrap_or_default();
        }
        Bytes::from(pieces.concat())
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(self.tail.split().freeze());
        }
    }

    fn pad(&mut self, length: usize) {
        let padding = length.next_multiple_of(4) - length;
        self.tail.put_bytes(0, padding);
        self.length += padding;
    }
}

impl Encode for u32 {
    fn encode(&self, e: &mut Encoder) {
        e.u32(*self);
    }
}

impl Encode for u64 {
    fn encode(&self, e: &mut Encoder) {
        e.u64(*self);
    }
}

impl Encode for i64 {
    fn encode(&self, e: &mut Encoder) {
        e.u64(self.cast_unsigned());
    }
}

impl Encode for bool {
    fn encode(&self, e: &mut Encoder) {
        e.bool(*self);
    }
}

impl Encode for () {
    fn encode(&self, _: &mut Encoder) {}
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, e: &mut Encoder) {
        e.fixed_opaque(self);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, e: &mut Encoder) {
        e.bool(self.is_some());
        if let Some(value) = self {
            value.encode(e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_data_are_shared_and_padded() {
        let data = Bytes::from(vec![7; SHARE_BYTES_MIN + 1]);
        let mut e = Encoder::new();
        e.u32(1);
        e.shared_opaque(&data);
        e.u32(2);
        let length = e.len();
        let pieces = e.into_pieces();
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), length);
        assert_eq!(pieces[1].as_ptr(), data.as_ptr());
        assert_eq!(&pieces[2][..], b"\0\0\0\0\0\0\x02");
    }

    #[test]
    fn appending_keeps_order_and_length() {
        let mut a = Encoder::new();
        a.u32(1);
        let mut b = Encoder::new();
        b.shared_opaque(&Bytes::from(vec![1; SHARE_BYTES_MIN]));
        b.u32(3);
        a.append(b);
        a.u32(4);
        assert_eq!(a.len(), 4 + 4 + SHARE_BYTES_MIN + 8);
        let length = a.len();
        let bytes = a.into_bytes();
        assert_eq!(bytes.len(), length);
        assert_eq!(&bytes[bytes.len() - 8..], b"\0\0\0\x03\0\0\0\x04");
    }
}
