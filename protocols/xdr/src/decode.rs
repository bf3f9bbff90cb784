//! Taking values off a buffer (RFC 4506).

use crate::XdrError;
use bytes::{Buf, Bytes};

/// A value that can be read from XDR.
pub trait Decode: Sized {
    /// Takes one value.
    ///
    /// # Errors
    /// [`XdrError`] when the bytes are no such value; what was taken before is lost.
    fn decode(d: &mut Decoder) -> Result<Self, XdrError>;
}

/// What is left of a buffer. Opaque data taken from it share its memory.
#[derive(Clone, Debug)]
pub struct Decoder {
    rest: Bytes,
}

impl Decoder {
    /// Starts at the first byte of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes) -> Decoder {
        Decoder { rest: bytes }
    }

    /// Number of bytes left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything that is left, not decoded.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Takes an unsigned 32-bit integer.
    ///
    /// # Errors
    /// [`XdrError::Short`].
    pub fn u32(&mut self) -> Result<u32, XdrError> {
        self.rest.try_get_u32().map_err(|_| XdrError::Short)
    }

    /// Takes an unsigned 64-bit integer.
    ///
    /// # Errors
    /// [`XdrError::Short`].
    pub fn u64(&mut self) -> Result<u64, XdrError> {
        self.rest.try_get_u64().map_err(|_| XdrError::Short)
    }

    /// Takes a boolean, which is 0 or 1.
    ///
    /// # Errors
    /// [`XdrError::Short`] or [`XdrError::Invalid`].
    pub fn bool(&mut self) -> Result<bool, XdrError> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(XdrError::Invalid),
        }
    }

    /// Takes opaque data of a length known beforehand, and their padding.
    ///
    /// # Errors
    /// [`XdrError::Short`].
    pub fn fixed_opaque(&mut self, length: usize) -> Result<Bytes, XdrError> {
        let padded = length.checked_next_multiple_of(4).ok_or(XdrError::TooLong)?;
        if self.rest.len() < padded {
            return Err(XdrError::Short);
        }
        let mut taken = self.rest.split_to(padded);
        taken.truncate(length);
        Ok(taken)
    }

    /// Takes opaque data of at most `max` bytes that begin with their length.
    ///
    /// # Errors
    /// [`XdrError::TooLong`] over `max`, [`XdrError::Short`].
    pub fn opaque(&mut self, max: usize) -> Result<Bytes, XdrError> {
        let length = self.count(max)?;
        self.fixed_opaque(length)
    }

    /// Takes the number of elements that follow, at most `max`.
    ///
    /// # Errors
    /// [`XdrError::TooLong`] over `max`, [`XdrError::Short`].
    pub fn count(&mut self, max: usize) -> Result<usize, XdrError> {
        let count = self.u32()? as usize;
        if count > max { Err(XdrError::TooLong) } else { Ok(count) }
    }
}

impl Decode for u32 {
    fn decode(d: &mut Decoder) -> Result<u32, XdrError> {
        d.u32()
    }
}

impl Decode for u64 {
    fn decode(d: &mut Decoder) -> Result<u64, XdrError> {
        d.u64()
    }
}

impl Decode for i64 {
    fn decode(d: &mut Decoder) -> Result<i64, XdrError> {
        d.u64().map(u64::cast_signed)
    }
}

impl Decode for bool {
    fn decode(d: &mut Decoder) -> Result<bool, XdrError> {
        d.bool()
    }
}

impl Decode for () {
    fn decode(_: &mut Decoder) -> Result<(), XdrError> {
        Ok(())
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(d: &mut Decoder) -> Result<[u8; N], XdrError> {
        let taken = d.fixed_opaque(N)?;
        let mut value = [0; N];
        value.copy_from_slice(&taken);
        Ok(value)
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(d: &mut Decoder) -> Result<Option<T>, XdrError> {
        if d.bool()? { T::decode(d).map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_data_share_the_buffer_and_skip_their_padding() {
        let bytes = Bytes::from_static(b"\0\0\0\x05hello\0\0\0\0\0\0\x07");
        let mut d = Decoder::new(bytes.clone());
        let hello = d.opaque(5).unwrap();
        assert_eq!(&hello[..], b"hello");
        assert_eq!(hello.as_ptr(), bytes[4..].as_ptr());
        assert_eq!(d.u32(), Ok(7));
        assert_eq!(d.u32(), Err(XdrError::Short));
    }

    #[test]
    fn lengths_are_bounded_before_they_are_used() {
        let huge = Bytes::from_static(b"\xff\xff\xff\xff");
        assert_eq!(Decoder::new(huge.clone()).opaque(1024), Err(XdrError::TooLong));
        assert_eq!(Decoder::new(huge).opaque(usize::MAX), Err(XdrError::Short));
        assert_eq!(Decoder::new(Bytes::from_static(b"\0\0\0\x03ab")).opaque(9), Err(XdrError::Short));
    }
}
