//! Short stand-ins for values: equal ones mean equal values.
//!
//! SipHash-2-4 with 128 bits, under a key that the executor draws at random, so that nobody who chooses
//! names or content can make two values that are taken for one.

use map::Change;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// A digest under an executor's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Digest([u8; 16]);

/// The key of digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DigestKey(pub [u8; 16]);

/// Takes one thing after the other.
pub(crate) struct Digester(SipHasher24);

impl DigestKey {
    pub(crate) fn begin(&self) -> Digester {
        Digester(SipHasher24::new_with_key(&self.0))
    }

    /// Of no writes at all.
    #[must_use]
    pub fn none(&self) -> Digest {
        self.begin().end()
    }

    /// Of a value, or of there being none.
    pub(crate) fn value(&self, value: Option<&[u8]>) -> Digest {
        let mut digester = self.begin();
        digester.change(value);
        digester.end()
    }
}

impl Digester {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(&(bytes.len() as u64).to_be_bytes());
        self.0.write(bytes);
    }

    fn change(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => {
                self.0.write(&[1]);
                self.bytes(value);
            }
            None => self.0.write(&[0]),
        }
    }

    /// A key with its value.
    pub(crate) fn row(&mut self, key: &[u8], value: &[u8]) {
        self.bytes(key);
        self.change(Some(value));
    }

    /// A key with what happens to it.
    pub(crate) fn write(&mut self, key: &[u8], change: &Change) {
        self.bytes(key);
        self.change(change.as_deref());
    }

    pub(crate) fn end(self) -> Digest {
        Digest(self.0.finish128().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_digest() {
        let key = DigestKey([3; 16]);
        let rows = |rows: &[(&[u8], &[u8])]| {
            let mut digester = key.begin();
            rows.iter().for_each(|(k, v)| digester.row(k, v));
            digester.end()
        };
        let all = [
            rows(&[]),
            rows(&[(b"ab", b"c")]),
            rows(&[(b"a", b"bc")]),
            rows(&[(b"a", b""), (b"b", b"c")]),
            key.value(None),
            key.value(Some(b"")),
            key.value(Some(b"\0")),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|other| other != one), "{n}");
        }
        assert_ne!(DigestKey([4; 16]).value(Some(b"x")), key.value(Some(b"x")));
    }
}
