//! Share reservations: what an open may do, and what it denies to the others.

use crate::limits::OPENS_MAX;
use crate::{Answer, Client, OpenKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A set of the two things an open can do or deny (RFC 8881 9.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ShareAccess {
    /// Read.
    pub read: bool,
    /// Write.
    pub write: bool,
}

impl ShareAccess {
    /// Neither.
    pub const NONE: ShareAccess = ShareAccess { read: false, write: false };
    /// Read only.
    pub const READ: ShareAccess = ShareAccess { read: true, write: false };
    /// Write only.
    pub const WRITE: ShareAccess = ShareAccess { read: false, write: true };
    /// Both.
    pub const BOTH: ShareAccess = ShareAccess { read: true, write: true };

    const fn or(self, other: ShareAccess) -> ShareAccess {
        ShareAccess { read: self.read || other.read, write: self.write || other.write }
    }

    const fn meets(self, other: ShareAccess) -> bool {
        (self.read && other.read) || (self.write && other.write)
    }
}

/// One open's reservation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Share {
    /// The client that the open belongs to.
    pub client: Client,
    /// What it may do.
    pub access: ShareAccess,
    /// What it denies to every other open.
    pub deny: ShareAccess,
}

/// The opens of one inode.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shares {
    opens: BTreeMap<OpenKey, Share>,
}

impl Shares {
    /// Adds an open, or gives one other rights; unchanged unless granted.
    pub(crate) fn set(&mut self, open: OpenKey, share: Share) -> Answer {
        if self.refuses(share.access, share.deny, Some(open)) {
            return Answer::ShareDenied;
        }
        if self.opens.len() >= OPENS_MAX && !self.opens.contains_key(&open) {
            return Answer::Full;
        }
        self.opens.insert(open, share);
        Answer::Granted
    }

    /// Whether `access` is denied, or `deny` meets what somebody does, leaving `except` aside.
    pub(crate) fn refuses(&self, access: ShareAccess, deny: ShareAccess, except: Option<OpenKey>) -> bool {
        self.opens
            .iter()
            .filter(|(key, _)| Some(**key) != except)
            .any(|(_, other)| access.meets(other.deny) || deny.meets(other.access))
    }

    pub(crate) fn get(&self, open: OpenKey) -> Option<&Share> {
        self.opens.get(&open)
    }

    /// What the opens of others may do together, and what they deny.
    pub(crate) fn others(&self, client: Client) -> (ShareAccess, ShareAccess) {
        let others = self.opens.values().filter(|share| share.client != client);
        let none = (ShareAccess::NONE, ShareAccess::NONE);
        others.fold(none, |(access, deny), share| (access.or(share.access), deny.or(share.deny)))
    }

    pub(crate) fn remove(&mut self, open: OpenKey) {
        self.opens.remove(&open);
    }

    pub(crate) fn remove_client(&mut self, client: Client) {
        self.opens.retain(|_, share| share.client != client);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.opens.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.opens.len()
    }
}
