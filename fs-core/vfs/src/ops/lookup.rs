//! Finding an entry by name.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::{Attr, FileId, Name};

/// Needs the right to search `dir`. Symbolic links are not followed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lookup {
    /// The directory.
    pub dir: FileId,
    /// The name in it.
    pub name: Name,
}

/// Needs the right to search `dir`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LookupParent {
    /// The directory whose parent is asked for.
    pub dir: FileId,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LookupReply {
    /// The inode, with its identity in [`Attr::file`].
    pub attr: Attr,
    /// For how long from the request on nobody changes its attributes without this being told before
    /// ([`crate::Vfs::listen`]).
    pub trust: Duration,
    /// The same, of the name: for how long it leads there.
    pub name_trust: Duration,
}

impl LookupReply {
    /// Nothing of it may be trusted for any time.
    #[must_use]
    pub fn untrusted(attr: Attr) -> LookupReply {
        LookupReply { attr, trust: Duration::ZERO, name_trust: Duration::ZERO }
    }
}
