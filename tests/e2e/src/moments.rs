//! Moments that follow from a seed.

use std::time::Duration;

/// The state that the next one follows from; the seed at first.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    /// How long to wait for the next, at most `longest`.
    pub(crate) fn next(&mut self, longest: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        longest.mul_f64((self.0 >> 33) as f64 / (1u64 << 31) as f64)
    }
}
