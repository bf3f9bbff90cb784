//! Reading attributes.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use types::{Attr, FileId};

/// Needs no right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetAttr {
    /// The inode.
    pub file: FileId,
}

/// What it says of itself, with all acknowledged writes in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GetAttrReply {
    /// The attributes.
    pub attr: Attr,
    /// For how long from the request on nobody changes them without this being told before ([`crate::Vfs::listen`]).
    pub trust: Duration,
}

impl GetAttrReply {
    /// They may be trusted for no time.
    #[must_use]
    pub fn untrusted(attr: Attr) -> GetAttrReply {
        GetAttrReply { attr, trust: Duration::ZERO }
    }
}
