//! An input with something wrong in it, without the fuzzer.

/// `input` damaged in a way that `seed` alone decides: bits and bytes changed, cut off, doubled, or spliced.
#[must_use]
pub fn damaged(input: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random(seed ^ 0x9E37_79B9_7F4A_7C15);
    let mut out = input.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(out.len() + 1);
        match random.below(6) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 if at < out.len() => out[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
            2 => out.truncate(at),
            3 => {
                let end = at + random.below((out.len() - at).min(64) + 1);
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            4 if at + 4 <= out.len() => out[at..at + 4].fill(0xFF),
            _ => {
                let end = at + random.below((out.len() - at).min(64) + 1);
                out.drain(at..end);
            }
        }
    }
    out
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
