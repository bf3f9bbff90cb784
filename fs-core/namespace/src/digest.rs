//! Whether bytes are still those that were seen.

use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// SipHash-2-4 of 128 bits over all parts as if they were one. Under a key that was drawn after the bytes were
/// written, nobody can have made others with the same digest.
pub fn digest<'a>(key: &[u8; 16], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(key);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the reference implementation's vectors of SipHash-2-4-128.
    #[test]
    fn it_is_siphash_however_the_bytes_are_cut() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let bytes: Vec<u8> = (0..15).collect();
        let expected =
            [0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11, 0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9];
        for cut in 0..bytes.len() {
            assert_eq!(digest(&key, [&bytes[..cut], &bytes[cut..]]), expected, "{cut}");
        }
    }
}
