//! Names of directory entries and extended attributes.

use crate::limits::NAME_BYTES_MAX;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a directory entry: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`. Not
/// necessarily UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Name(Bytes);

/// Why bytes are no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// No byte at all.
    #[error("a name is empty")]
    Empty,
    /// Over 255 bytes.
    #[error("a name is longer than 255 bytes")]
    TooLong,
    /// `.`, `..`, or a `/` or NUL inside.
    #[error("a name is reserved or has a reserved byte")]
    Reserved,
}

impl Name {
    /// Checks and takes `bytes`.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with them.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Name, NameError> {
        let bytes = bytes.into();
        match bytes.len() {
            0 => return Err(NameError::Empty),
            n if n > NAME_BYTES_MAX => return Err(NameError::TooLong),
            _ => {}
        }
        let reserved =
            &bytes[..] == b"." || &bytes[..] == b".." || bytes.iter().any(|b| matches!(b, 0 | b'/'));
        if reserved { Err(NameError::Reserved) } else { Ok(Name(bytes)) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Bytes> for Name {
    type Error = NameError;
    fn try_from(bytes: Bytes) -> Result<Name, NameError> {
        Name::new(bytes)
    }
}

impl From<Name> for Bytes {
    fn from(name: Name) -> Bytes {
        name.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_at_the_door() {
        assert_eq!(Name::new(&b""[..]), Err(NameError::Empty));
        assert_eq!(Name::new(vec![b'a'; 256]), Err(NameError::TooLong));
        for reserved in [&b"."[..], b"..", b"a/b", b"a\0"] {
            assert_eq!(Name::new(reserved), Err(NameError::Reserved));
        }
        assert!(Name::new(vec![b'a'; 255]).is_ok());
        assert!(Name::new(&b"\xff..."[..]).is_ok());
    }
}
