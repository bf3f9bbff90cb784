//! Amounts of bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes; written with K, M, G or T (powers of 1,024) or without a unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Size(pub u64);

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Size, ()> {
        let last = text.chars().next_back().map(|c| c.to_ascii_uppercase());
        let unit = UNITS.iter().find(|(unit, _)| Some(*unit) == last);
        let (digits, shift) = match unit {
            Some((_, shift)) => (&text[..text.len() - 1], *shift),
            None => (text, 0),
        };
        // `parse` would take a sign.
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        let number: u64 = digits.parse().map_err(|_| ())?;
        number.checked_mul(1 << shift).map(Size).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in UNITS {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_alike() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("4K", 4096), ("64M", 64 << 20), ("10G", 10 << 30), ("2T", 2 << 40)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!("1g".parse(), Ok(Size(1 << 30)));
        assert_eq!(Size(1536).to_string(), "1536");
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in
            ["", "K", "-1", "+1", "1.5G", "10 G", "1KB", "1P", "99999999999999999999", "16777216T", "1é"]
        {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }
}
