//! How stripes survive the loss of failure domains.

use std::fmt;
use std::str::FromStr;
use types::limits::{DATA_CHUNKS_MAX, PARITY_CHUNKS_MAX};

/// D data chunks and P parity chunks to a stripe; `none` is 1+0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protection {
    /// D: 1 to 16.
    pub data: u8,
    /// P: 0, 1, 2 or 4. So many domains can be lost at once.
    pub parity: u8,
}

impl Protection {
    /// One copy.
    pub const NONE: Protection = Protection { data: 1, parity: 0 };

    /// Failure domains that this needs: a stripe has one chunk on each, and a shard's log 2P + 1 homes.
    #[must_use]
    pub const fn domains_min(self) -> u16 {
        let stripe = self.data as u16 + self.parity as u16;
        let homes = 2 * self.parity as u16 + 1;
        if stripe > homes { stripe } else { homes }
    }

    /// The strongest protection of each parity that `domains` can carry, for an error that helps.
    #[must_use]
    pub fn fitting(domains: u16) -> Vec<Protection> {
        let mut fits = Vec::new();
        for parity in [0, 1, 2, 4] {
            let data = u16::min(domains.saturating_sub(parity), DATA_CHUNKS_MAX as u16);
            let protection = Protection { data: data as u8, parity: parity as u8 };
            if data >= 1 && protection.domains_min() <= domains {
                fits.push(protection);
            }
        }
        fits
    }
}

impl FromStr for Protection {
    type Err = ();

    fn from_str(text: &str) -> Result<Protection, ()> {
        if text == "none" {
            return Ok(Protection::NONE);
        }
        let (data, parity) = text.split_once('+').ok_or(())?;
        let number = |text: &str| match text.len() {
            1..=2 if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u8>().map_err(|_| ()),
            _ => Err(()),
        };
        let (data, parity) = (number(data)?, number(parity)?);
        let fits = (1..=DATA_CHUNKS_MAX).contains(&usize::from(data))
            && usize::from(parity) <= PARITY_CHUNKS_MAX
            && parity != 3;
        if fits { Ok(Protection { data, parity }) } else { Err(()) }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Protection::NONE => f.write_str("none"),
            Protection { data, parity } => write!(f, "{data}+{parity}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_and_shown_alike() {
        for text in ["none", "1+1", "4+2", "16+4", "8+0"] {
            assert_eq!(
                text.parse::<Protection>().map(|protection| protection.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "4", "4+", "+2", "0+2", "17+2", "4+3", "4+5", "4+-1", "a+b", "004+2"] {
            assert_eq!(text.parse::<Protection>(), Err(()), "{text}");
        }
    }

    #[test]
    fn small_stripes_still_need_the_homes_of_their_logs() {
        assert_eq!(Protection { data: 4, parity: 2 }.domains_min(), 6);
        assert_eq!(Protection { data: 1, parity: 2 }.domains_min(), 5);
        assert_eq!(Protection { data: 1, parity: 4 }.domains_min(), 9);
        assert_eq!(Protection::NONE.domains_min(), 1);
    }

    #[test]
    fn what_is_said_to_fit_does() {
        assert_eq!(Protection::fitting(1), [Protection::NONE]);
        for domains in 1..40 {
            for protection in Protection::fitting(domains) {
                assert!(protection.domains_min() <= domains);
                assert_eq!(protection.to_string().parse(), Ok(protection));
            }
        }
    }
}
