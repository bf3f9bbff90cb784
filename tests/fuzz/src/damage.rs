//! An input with something wrong in it, without the fuzzer.

use suites::Random;

/// `input` damaged in a way that `seed` alone decides: bits and bytes changed, cut off, doubled, or spliced.
#[must_use]
pub fn damaged(input: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed ^ 0x9E37_79B9_7F4A_7C15);
    let mut below = |bound: usize| random.below(bound as u64) as usize;
    let mut out = input.to_vec();
    for _ in 0..=below(3) {
        let at = below(out.len() + 1);
        match below(6) {
            0 if at < out.len() => out[at] ^= 1 << below(8),
            1 if at < out.len() => out[at] = [0, 1, 0x7F, 0x80, 0xFF][below(5)],
            2 => out.truncate(at),
            3 => {
                let end = at + below((out.len() - at).min(64) + 1);
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            4 if at + 4 <= out.len() => out[at..at + 4].fill(0xFF),
            _ => {
                let end = at + below((out.len() - at).min(64) + 1);
                out.drain(at..end);
            }
        }
    }
    out
}
