//! On whose behalf.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A caller as the access decision sees it, after squashing and group resolution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cred {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups, at most [`crate::limits::GROUPS_MAX`].
    pub groups: Arc<[u32]>,
}

impl Cred {
    /// The superuser with its own group only.
    #[must_use]
    pub fn root() -> Cred {
        Cred { uid: 0, gid: 0, groups: Arc::from([]) }
    }

    /// A user without supplementary groups.
    #[must_use]
    pub fn user(uid: u32, gid: u32) -> Cred {
        Cred { uid, gid, groups: Arc::from([]) }
    }

    /// Whether the caller is a member of `gid`.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// A set of rights to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct AccessMask(pub u8);

impl AccessMask {
    /// Search a directory, execute a file.
    pub const EXECUTE: AccessMask = AccessMask(1);
    /// Change content, or entries of a directory.
    pub const WRITE: AccessMask = AccessMask(2);
    /// Read content, or list a directory.
    pub const READ: AccessMask = AccessMask(4);
    /// All three.
    pub const ALL: AccessMask = AccessMask(7);

    /// Whether every right of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: AccessMask) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: AccessMask) -> AccessMask {
        AccessMask(self.0 | other.0)
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: AccessMask) -> AccessMask {
        AccessMask(self.0 & other.0)
    }

    /// Whether no right is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
