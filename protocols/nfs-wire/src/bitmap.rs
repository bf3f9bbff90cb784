//! Sets of attribute numbers.

use xdr::{Decode, Decoder, Encode, Encoder, XdrError};

/// Words that are kept; RFC 9754's open_arguments is number 86, the highest known.
const WORDS: usize = 3;
/// Words that a sender may send.
const WORDS_MAX: usize = 64;

/// A set of attribute numbers (bitmap4). Numbers that do not fit are remembered only as a fact.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bitmap {
    words: [u32; WORDS],
    beyond: bool,
}

impl Bitmap {
    /// The set of `numbers`, each below 96.
    #[must_use]
    pub const fn of(numbers: &[u32]) -> Bitmap {
        let mut set = Bitmap { words: [0; WORDS], beyond: false };
        let mut i = 0;
        while i < numbers.len() {
            set.words[(numbers[i] / 32) as usize] |= 1 << (numbers[i] % 32);
            i += 1;
        }
        set
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub const fn contains(&self, number: u32) -> bool {
        (number / 32) < WORDS as u32 && self.words[(number / 32) as usize] & 1 << (number % 32) != 0
    }

    /// Adds `number`, which is below 96.
    pub const fn insert(&mut self, number: u32) {
        self.words[(number / 32) as usize] |= 1 << (number % 32);
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS] && !self.beyond
    }

    /// Whether all of this set is in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Bitmap) -> bool {
        (other.beyond || !self.beyond) && self.words.iter().zip(&other.words).all(|(a, b)| a & !b == 0)
    }

    /// What both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Bitmap) -> Bitmap {
        let mut words = self.words;
        words.iter_mut().zip(&other.words).for_each(|(a, b)| *a &= b);
        Bitmap { words, beyond: self.beyond && other.beyond }
    }

    /// Whether the two have a number in common.
    #[must_use]
    pub fn intersects(&self, other: &Bitmap) -> bool {
        !self.intersection(other).is_empty()
    }

    /// Whether the sender named attributes beyond those that anybody here knows.
    #[must_use]
    pub fn names_unknown(&self) -> bool {
        self.beyond
    }
}

impl Encode for Bitmap {
    fn encode(&self, e: &mut Encoder) {
        if self.beyond {
            // Any unknown number says the same.
            e.count(WORDS + 1);
            e.words(&self.words);
            e.u32(1);
            return;
        }
        let used = WORDS - self.words.iter().rev().take_while(|word| **word == 0).count();
        e.count(used);
        e.words(&self.words[..used]);
    }
}

impl Decode for Bitmap {
    fn decode(d: &mut Decoder) -> Result<Bitmap, XdrError> {
        let mut set = Bitmap::default();
        for i in 0..d.count(WORDS_MAX)? {
            let word = d.u32()?;
            match set.words.get_mut(i) {
                Some(place) => *place = word,
                None => set.beyond |= word != 0,
            }
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_the_known_are_noticed() {
        let mut e = Encoder::new();
        e.words(&[4, 1 << 3, 0, 1 << 18, 1]);
        let set = Bitmap::decode(&mut Decoder::new(e.into_bytes())).unwrap();
        assert!(set.contains(3) && set.contains(82) && set.names_unknown());
        assert!(!set.is_subset(&Bitmap::of(&[3, 82])));
    }

    #[test]
    fn trailing_empty_words_are_not_sent() {
        let mut e = Encoder::new();
        Bitmap::of(&[1, 33]).encode(&mut e);
        assert_eq!(&e.into_bytes()[..], b"\0\0\0\x02\0\0\0\x02\0\0\0\x02");
    }
}
