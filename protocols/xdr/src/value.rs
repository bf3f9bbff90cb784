//! Variable-length values that carry their limit in their type.

use crate::{Decode, Decoder, Encode, Encoder, XdrError};
use bytes::Bytes;
use std::ops::Deref;

/// Space for this many elements is set aside before they are read, whatever the count says.
const RESERVE_MAX: usize = 16;

/// At most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Opaque<const MAX: usize>(pub Bytes);

impl<const MAX: usize> Deref for Opaque<MAX> {
    type Target = Bytes;
    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl<const MAX: usize> From<Bytes> for Opaque<MAX> {
    fn from(bytes: Bytes) -> Self {
        Opaque(bytes)
    }
}

impl<const MAX: usize> Encode for Opaque<MAX> {
    fn encode(&self, e: &mut Encoder) {
        e.shared_opaque(&self.0);
    }
}

impl<const MAX: usize> Decode for Opaque<MAX> {
    fn decode(d: &mut Decoder) -> Result<Self, XdrError> {
        d.opaque(MAX).map(Opaque)
    }
}

/// At most `MAX` elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for List<T, MAX> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T, const MAX: usize> From<Vec<T>> for List<T, MAX> {
    fn from(elements: Vec<T>) -> Self {
        List(elements)
    }
}

impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode(&self, e: &mut Encoder) {
        e.count(self.0.len());
        self.0.iter().for_each(|element| element.encode(e));
    }
}

impl<T: Decode, const MAX: usize> Decode for List<T, MAX> {
    fn decode(d: &mut Decoder) -> Result<Self, XdrError> {
        let count = d.count(MAX)?;
        let mut elements = Vec::with_capacity(count.min(RESERVE_MAX));
        for _ in 0..count {
            elements.push(T::decode(d)?);
        }
        Ok(List(elements))
    }
}
