//! How data are protected: D data and P parity chunks, and which of these a cluster can carry.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use types::limits::DATA_CHUNKS_MAX;

/// Parity chunks that are offered. The metadata copies, 2P + 1, follow from them.
const PARITIES: [u8; 4] = [0, 1, 2, 4];

/// D + P: any P domains may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct Scheme {
    data: u8,
    parity: u8,
}

/// Why a scheme is not offered, or not here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SchemeError {
    /// Out of what is supported at all.
    #[error("protection {data}+{parity} is not offered: D is 1 to 16, P is 0, 1, 2 or 4")]
    NotOffered {
        /// D.
        data: u8,
        /// P.
        parity: u8,
    },
    /// Too few failure domains.
    #[error("protection {scheme} needs {needed} failure domains, there are {there}; what fits: {fits}")]
    TooFewDomains {
        /// What was asked.
        scheme: Scheme,
        /// max(D + P, 2P + 1).
        needed: usize,
        /// Domains there are.
        there: usize,
        /// The widest schemes that fit, in words.
        fits: String,
    },
    /// Not of the form `D+P` or `none`.
    #[error("{0:?} is no protection: write D+P (as in 4+2) or none")]
    Unreadable(String),
}

impl Scheme {
    /// One chunk, no protection.
    pub const NONE: Scheme = Scheme { data: 1, parity: 0 };

    /// D + P.
    ///
    /// # Errors
    /// `NotOffered`.
    pub fn new(data: u8, parity: u8) -> Result<Scheme, SchemeError> {
        let fits = (1..=DATA_CHUNKS_MAX).contains(&usize::from(data)) && PARITIES.contains(&parity);
        if fits { Ok(Scheme { data, parity }) } else { Err(SchemeError::NotOffered { data, parity }) }
    }

    /// D.
    #[must_use]
    pub const fn data(self) -> usize {
        self.data as usize
    }

    /// P.
    #[must_use]
    pub const fn parity(self) -> usize {
        self.parity as usize
    }

    /// D + P.
    #[must_use]
    pub const fn width(self) -> usize {
        self.data() + self.parity()
    }

    /// Failure domains that data and metadata need: max(D + P, 2P + 1).
    #[must_use]
    pub fn domains_needed(self) -> usize {
        self.width().max(2 * self.parity() + 1)
    }

    /// Whether `there` domains carry it.
    ///
    /// # Errors
    /// `TooFewDomains`, which says what fits.
    pub fn check_domains(self, there: usize) -> Result<(), SchemeError> {
        let needed = self.domains_needed();
        if there >= needed {
            return Ok(());
        }
        let mut fits: Vec<String> = Vec::new();
        for parity in PARITIES {
            let widest = there.saturating_sub(usize::from(parity)).min(DATA_CHUNKS_MAX) as u8;
            if let Ok(scheme) = Scheme::new(widest, parity)
                && scheme.domains_needed() <= there
            {
                fits.push(scheme.to_string());
            }
        }
        let fits = if fits.is_empty() { "nothing".into() } else { fits.join(", ") };
        Err(SchemeError::TooFewDomains { scheme: self, needed, there, fits })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl FromStr for Scheme {
    type Err = SchemeError;

    /// `D+P`, or `none` for 1+0.
    fn from_str(text: &str) -> Result<Scheme, SchemeError> {
        if text == "none" {
            return Ok(Scheme::NONE);
        }
        let unreadable = || SchemeError::Unreadable(text.chars().take(40).collect());
        let (data, parity) = text.split_once('+').ok_or_else(unreadable)?;
        let number = |n: &str| n.parse().map_err(|_| unreadable());
        Scheme::new(number(data)?, number(parity)?)
    }
}

impl TryFrom<(u8, u8)> for Scheme {
    type Error = SchemeError;
    fn try_from((data, parity): (u8, u8)) -> Result<Scheme, SchemeError> {
        Scheme::new(data, parity)
    }
}

impl From<Scheme> for (u8, u8) {
    fn from(scheme: Scheme) -> (u8, u8) {
        (scheme.data, scheme.parity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_offered_is_made() {
        for data in 0..=20 {
            for parity in 0..=6 {
                let offered = (1..=16).contains(&data) && [0, 1, 2, 4].contains(&parity);
                assert_eq!(Scheme::new(data, parity).is_ok(), offered, "{data}+{parity}");
            }
        }
    }

    #[test]
    fn it_reads_as_it_prints_and_refuses_the_rest() {
        for text in ["1+0", "4+2", "16+4"] {
            assert_eq!(text.parse::<Scheme>().unwrap().to_string(), text);
        }
        assert_eq!("none".parse(), Ok(Scheme::NONE));
        for bad in ["", "4", "4+", "+2", "4+3", "17+1", "0+1", "4+2+1", "-1+2", "300+2"] {
            assert!(bad.parse::<Scheme>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_what_fits() {
        let scheme = |d, p| Scheme::new(d, p).unwrap();
        assert_eq!(scheme(1, 2).domains_needed(), 5);
        assert_eq!(scheme(4, 2).check_domains(6), Ok(()));
        assert_eq!(
            scheme(4, 2).check_domains(4).unwrap_err().to_string(),
            "protection 4+2 needs 6 failure domains, there are 4; what fits: 4+0, 3+1"
        );
        assert_eq!(scheme(1, 0).check_domains(1), Ok(()));
        assert!(scheme(1, 1).check_domains(2).unwrap_err().to_string().ends_with("what fits: 2+0"));
        assert!(scheme(1, 0).check_domains(0).unwrap_err().to_string().ends_with("what fits: nothing"));
    }
}
