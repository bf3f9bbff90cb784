//! Randomness: from the kernel in production, from a seed in a simulation.

use parking_lot::Mutex;

/// The only source of randomness.
pub trait Random: Send + Sync + 'static {
    /// Fills `buffer`.
    fn fill(&self, buffer: &mut [u8]);

    /// 64 random bits.
    fn next(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    fn below(&self, bound: u64) -> u64 {
        // The bias of a 64 by 64 bit multiplication is below bound / 2^64.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// `getrandom(2)`.
#[derive(Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            match rustix::rand::getrandom(&mut buffer[done..], rustix::rand::GetRandomFlags::empty()) {
                Ok(n) => done += n,
                Err(rustix::io::Errno::INTR) => {}
                // Documented to fail only on kernels before 3.17: nothing here could be safe.
                Err(error) => panic!("getrandom: {error}"),
            }
        }
    }
}

/// SplitMix64 from a seed: the same seed gives the same bytes. Not for keys.
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom { state: Mutex::new(seed) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }

    fn next(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_and_bounds_hold() {
        let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
        let (mut x, mut y) = ([0; 33], [0; 33]);
        a.fill(&mut x);
        b.fill(&mut y);
        assert_eq!(x, y);
        assert_ne!(SeededRandom::new(8).next(), SeededRandom::new(7).next());
        assert!((0..1000).all(|_| a.below(10) < 10));
        assert!((0..10).all(|n| (0..1000).any(|_| a.below(10) == n)));
        assert_eq!(a.below(0), 0);
        // First output of the published reference for seed 0.
        assert_eq!(SeededRandom::new(0).next(), 0xe220_a839_7b1d_cdaf);
        assert_ne!(SystemRandom.next(), SystemRandom.next());
    }
}
