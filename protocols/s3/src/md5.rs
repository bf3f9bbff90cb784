//! MD5 (RFC 1321), of several messages side by side.
//!
//! Each of its steps waits for the one before, so that one message leaves most of a processor idle: four take a third more
//! than the time of one and a half.

/// Messages that are worth going through together.
pub(crate) const LANES: usize = 4;
const BLOCK: usize = 64;

/// A digest in the making.
#[derive(Clone)]
pub(crate) struct Md5 {
    state: [u32; 4],
    bytes: u64,
    /// What is not a whole block yet, in its first bytes.
    rest: [u8; BLOCK],
}

impl Default for Md5 {
    fn default() -> Md5 {
        Md5 { state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476], bytes: 0, rest: [0; BLOCK] }
    }
}

impl Md5 {
    /// Takes more of the message.
    pub(crate) fn update(&mut self, data: &[u8]) {
        update([(self, data)]);
    }

    /// The digest.
    pub(crate) fn finish(mut self) -> [u8; 16] {
        let bits = self.bytes.wrapping_mul(8);
        let mut end = [0; BLOCK + 8];
        end[0] = 0x80;
        // So that the length fills up a block.
        let pad = 1 + (2 * BLOCK - 9 - self.filled()) % BLOCK;
        self.update(&end[..pad]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        digest
            .chunks_exact_mut(4)
            .zip(self.state)
            .for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
        digest
    }

    fn filled(&self) -> usize {
        (self.bytes % BLOCK as u64) as usize
    }

    /// Takes what fills up a block that was begun; what is left comes back.
    fn fill<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let filled = self.filled();
        if filled == 0 {
            return data;
        }
        let (part, left) = data.split_at(data.len().min(BLOCK - filled));
        self.rest[filled..filled + part.len()].copy_from_slice(part);
        self.bytes += part.len() as u64;
        if self.filled() == 0 {
            let rest = self.rest;
            blocks([&mut self.state], [&[rest]]);
        }
        left
    }

    fn keep(&mut self, rest: &[u8]) {
        self.rest[..rest.len()].copy_from_slice(rest);
        self.bytes += rest.len() as u64;
    }
}

/// Takes more of several messages.
pub(crate) fn update<const N: usize>(lanes: [(&mut Md5, &[u8]); N]) {
    let mut lanes = lanes.map(|(md5, data)| {
        let data = md5.fill(data);
        (md5, data.as_chunks::<BLOCK>())
    });
    // Together as far as the shortest goes, then each by itself.
    let together = lanes.iter().map(|(_, (whole, _))| whole.len()).min().unwrap_or(0);
    let part = lanes.each_ref().map(|(_, (whole, _))| &whole[..together]);
    blocks(lanes.each_mut().map(|(md5, _)| &mut md5.state), part);
    for (md5, (whole, rest)) in lanes {
        blocks([&mut md5.state], [&whole[together..]]);
        md5.bytes += (whole.len() * BLOCK) as u64;
        md5.keep(rest);
    }
}

/// The whole part of the sine of 1, 2, 3 and so on, times 2^32 (RFC 1321 3.4).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

fn word(block: &[u8; BLOCK], at: usize) -> u32 {
    let at = 4 * at;
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Goes through blocks of several messages, as many of each. Written so that all steps are laid out one after the other, those
/// of the lanes in turn: what a lane waits for, the others use.
fn blocks<const N: usize>(states: [&mut [u32; 4]; N], data: [&[[u8; BLOCK]]; N]) {
    let count = data.iter().map(|blocks| blocks.len()).min().unwrap_or(0);
    let data = data.map(|blocks| &blocks[..count]);
    let mut now = states.each_ref().map(|state| **state);
    for at in 0..count {
        let before = now;
        // Each step: its number, its word and its turn.
        macro_rules! round {
            ($mix:expr, $($step:literal $word:literal $turn:literal),*) => {
                $(for (state, blocks) in now.iter_mut().zip(&data) {
                    let [a, b, c, d] = *state;
                    let sum = a.wrapping_add(word(&blocks[at], $word)).wrapping_add(SINES[$step]);
                    let mix: fn(u32, u32, u32, u32) -> u32 = $mix;
                    *state = [d, mix(sum, b, c, d).rotate_left($turn).wrapping_add(b), b, c];
                })*
            };
        }
        round!(
            |sum, b, c, d| sum.wrapping_add(d ^ (b & (c ^ d))),
            0 0 7, 1 1 12, 2 2 17, 3 3 22, 4 4 7, 5 5 12, 6 6 17, 7 7 22,
            8 8 7, 9 9 12, 10 10 17, 11 11 22, 12 12 7, 13 13 12, 14 14 17, 15 15 22
        );
        // The two halves have no bit in common, and the second is all that waits for the step before.
        round!(
            |sum, b, c, d| sum.wrapping_add(c & !d).wrapping_add(b & d),
            16 1 5, 17 6 9, 18 11 14, 19 0 20, 20 5 5, 21 10 9, 22 15 14, 23 4 20,
            24 9 5, 25 14 9, 26 3 14, 27 8 20, 28 13 5, 29 2 9, 30 7 14, 31 12 20
        );
        round!(
            |sum, b, c, d| sum.wrapping_add(b ^ (c ^ d)),
            32 5 4, 33 8 11, 34 11 16, 35 14 23, 36 1 4, 37 4 11, 38 7 16, 39 10 23,
            40 13 4, 41 0 11, 42 3 16, 43 6 23, 44 9 4, 45 12 11, 46 15 16, 47 2 23
        );
        round!(
            |sum, b, c, d| sum.wrapping_add(c ^ (b | !d)),
            48 0 6, 49 7 10, 50 14 15, 51 5 21, 52 12 6, 53 3 10, 54 10 15, 55 1 21,
            56 8 6, 57 15 10, 58 6 15, 59 13 21, 60 4 6, 61 11 10, 62 2 15, 63 9 21
        );
        for (state, before) in now.iter_mut().zip(before) {
            for (word, before) in state.iter_mut().zip(before) {
                *word = word.wrapping_add(before);
            }
        }
    }
    for (state, now) in states.into_iter().zip(now) {
        *state = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::hex;
    use s3s::crypto::Checksum as _;

    fn message(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|i| ((i + seed) * 31 % 251) as u8).collect()
    }

    fn theirs(message: &[u8]) -> [u8; 16] {
        s3s::crypto::Md5::checksum(message)
    }

    #[test]
    fn digests_are_those_of_rfc_1321() {
        let digest = |text: &str| {
            let mut md5 = Md5::default();
            md5.update(text.as_bytes());
            hex(&md5.finish())
        };
        assert_eq!(digest(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(digest("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        let digits = "1234567890".repeat(8);
        assert_eq!(digest(&digits), "57edf4a22be3c955ac49da2e2107b67a");
    }

    #[test]
    fn messages_of_any_length_in_any_parts_have_their_digest() {
        for length in 0..200 {
            let message = message(length, 7);
            for part in [1, 3, 63, 64, 65, 1000] {
                let mut md5 = Md5::default();
                message.chunks(part).for_each(|part| md5.update(part));
                assert_eq!(md5.finish(), theirs(&message), "{length} in parts of {part}");
            }
        }
    }

    #[test]
    fn messages_side_by_side_have_the_digests_that_they_have_alone() {
        for lengths in [[0, 1, 64, 1000], [64, 64, 64, 64], [5000, 127, 63, 4096], [200, 200, 1, 65]] {
            let messages: [Vec<u8>; 4] = std::array::from_fn(|lane| message(lengths[lane], lane * 100));
            let mut md5s: [Md5; 4] = std::array::from_fn(|_| Md5::default());
            // One of them has begun a block.
            md5s[1].update(b"begun");
            let mut lanes = md5s.iter_mut().zip(&messages).map(|(md5, message)| (md5, &message[..]));
            let lanes: [(&mut Md5, &[u8]); 4] = std::array::from_fn(|_| lanes.next().unwrap());
            update(lanes);
            for (lane, md5) in md5s.into_iter().enumerate() {
                let begun: &[u8] = if lane == 1 { b"begun" } else { b"" };
                assert_eq!(md5.finish(), theirs(&[begun, &messages[lane]].concat()), "{lengths:?}, {lane}");
            }
        }
    }
}
