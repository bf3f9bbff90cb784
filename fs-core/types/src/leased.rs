//! What clients may trust.

use crate::FileId;
use serde::{Deserialize, Serialize};

/// What may be trusted of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Leased {
    /// Its attributes.
    Attributes(FileId),
    /// That the names that led to it still do.
    Names(FileId),
}

impl Leased {
    /// Of which file.
    #[must_use]
    pub fn file(self) -> FileId {
        match self {
            Leased::Attributes(file) | Leased::Names(file) => file,
        }
    }
}
