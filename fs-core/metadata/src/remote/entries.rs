//! Keys and values as a payload: `(length of key u32, length of value u32, key, value)*`, little endian.

use super::wire::ENTRY_BYTES_MAX;
use bytes::{Buf, BufMut, Bytes, BytesMut};

const HEAD_BYTES: usize = 8;

/// Puts entries one behind the other.
#[derive(Default)]
pub(crate) struct Packer {
    bytes: BytesMut,
    entries: usize,
}

impl Packer {
    /// Whether it was taken: an entry that is too large to travel is not.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        if key.len() > ENTRY_BYTES_MAX || value.len() > ENTRY_BYTES_MAX {
            return false;
        }
        // Both are within a bound that fits.
        self.bytes.put_u32_le(key.len() as u32);
        self.bytes.put_u32_le(value.len() as u32);
        self.bytes.put_slice(key);
        self.bytes.put_slice(value);
        self.entries += 1;
        true
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// Takes one entry off; `None` where there is none, or the bytes are none.
pub(crate) fn unpack(payload: &mut Bytes) -> Option<(Bytes, Bytes)> {
    if payload.len() < HEAD_BYTES {
        return None;
    }
    let (key, value) = (payload.get_u32_le() as usize, payload.get_u32_le() as usize);
    if key > ENTRY_BYTES_MAX || value > ENTRY_BYTES_MAX || payload.len() < key + value {
        return None;
    }
    Some((payload.split_to(key), payload.split_to(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back_in_order(entries in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..9), cut in any::<usize>()) {
            let mut packer = Packer::default();
            entries.iter().for_each(|(key, value)| assert!(packer.push(key, value)));
            prop_assert_eq!(packer.entries(), entries.len());
            let whole = packer.finish();
            let mut rest = whole.clone();
            let mut again = Vec::new();
            while let Some((key, value)) = unpack(&mut rest) {
                again.push((key.to_vec(), value.to_vec()));
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&again, &entries);
            let mut short = whole.slice(..cut % (whole.len() + 1));
            while unpack(&mut short).is_some() {}
        }
    }
}
