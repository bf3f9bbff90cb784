//! A value as it is stored: 4 bytes CRC32C (little endian) of key and value, then the value.

use crc_fast::{CrcAlgorithm, Digest};
use map::MapError;

/// Bytes before the value.
const HEAD: usize = 4;

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(key);
    digest.update(value);
    // A CRC-32 fills the lower half.
    digest.finalize() as u32
}

/// What is stored for `value` under `key`.
pub(super) fn seal(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut cell = Vec::with_capacity(HEAD + value.len());
    cell.extend_from_slice(&checksum(key, value).to_le_bytes());
    cell.extend_from_slice(value);
    cell
}

/// The value in `cell`, verified to be whole and to belong to `key`.
pub(super) fn open<'a>(key: &[u8], cell: &'a [u8]) -> Result<&'a [u8], MapError> {
    let Some((head, value)) = cell.split_first_chunk::<HEAD>() else {
        return Err(MapError::Broken(format!("the value of key {} is cut off", key.escape_ascii())));
    };
    if u32::from_le_bytes(*head) == checksum(key, value) {
        Ok(value)
    } else {
        Err(MapError::Broken(format!("the value of key {} has a wrong checksum", key.escape_ascii())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_bit_or_another_key_is_told() {
        let cell = seal(b"key", b"value");
        assert_eq!(open(b"key", &cell).unwrap(), b"value");
        assert!(open(b"kez", &cell).is_err());
        for bit in 0..cell.len() * 8 {
            let mut bad = cell.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b"key", &bad).is_err(), "bit {bit}");
        }
        for cut in 0..cell.len() {
            assert!(open(b"key", &cell[..cut]).is_err(), "cut {cut}");
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_rfc_3720() {
        // RFC 3720 B.4: 32 bytes of zeroes.
        assert_eq!(checksum(&[0; 16], &[0; 16]), 0x8a91_36aa);
    }
}
