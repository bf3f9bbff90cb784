//! Record marking over streams (RFC 5531 section 11).

/// The four bytes before a fragment of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentHeader {
    /// Whether the record ends with this fragment.
    pub last: bool,
    /// Bytes of the fragment, below 2^31.
    pub length: u32,
}

const LAST: u32 = 1 << 31;

impl FragmentHeader {
    /// Reads the four bytes.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> FragmentHeader {
        let word = u32::from_be_bytes(bytes);
        FragmentHeader { last: word & LAST != 0, length: word & !LAST }
    }

    /// The header of a record of `length` bytes in one fragment; `None` from 2^31 bytes on.
    #[must_use]
    pub fn whole(length: usize) -> Option<[u8; 4]> {
        let length = u32::try_from(length).ok().filter(|length| length & LAST == 0)?;
        Some((length | LAST).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_wire() {
        let bytes = FragmentHeader::whole(1234).unwrap();
        assert_eq!(FragmentHeader::parse(bytes), FragmentHeader { last: true, length: 1234 });
        assert_eq!(FragmentHeader::whole(1 << 31), None);
        assert!(!FragmentHeader::parse([0, 0, 0, 4]).last);
    }
}
