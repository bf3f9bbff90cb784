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

    /// The secret in 64 hexadecimal digits, to be kept where only peers can read it.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What [`Token::text`] gave.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Token> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut secret = [0; 32];
        for (byte, digits) in secret.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Token(secret))
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
