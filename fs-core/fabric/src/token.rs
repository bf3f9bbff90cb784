//! The secret that TCP peers share.

use std::fmt;
use std::hint::black_box;

/// 32 bytes that only peers know.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a secret, which the caller has drawn at random.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Token {
        Token(secret)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares without telling by its time where the first difference is.
    pub(crate) fn matches(&self, other: &[u8; 32]) -> bool {
        let difference = self.0.iter().zip(other).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
        difference == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}
