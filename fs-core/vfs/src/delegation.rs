//! Delegations: files that a head's client works on without asking, until others want them.

use crate::{ClientId, OpenAccess};
use types::{Delegation, DelegationId, FileId};

/// Asks that a file be delegated to the client of the request, which has it open with the rights that this needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delegate {
    /// The file.
    pub file: FileId,
    /// What the client would like to do without asking.
    pub kind: Delegation,
    /// The client claims what it had before a restart.
    pub reclaim: bool,
}

/// Why a file is not delegated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotDelegated {
    /// Others are at work on it, or have been a short while ago.
    Contended,
    /// The client holds a delegation of it.
    Held,
    /// There are too many.
    Full,
    /// Nothing is delegated here.
    NotSupported,
}

/// What a head is asked about a delegation of one of its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AskHolder {
    /// The client.
    pub client: ClientId,
    /// The file.
    pub file: FileId,
    /// The delegation.
    pub id: DelegationId,
    /// What is asked.
    pub what: HolderQuestion,
}

/// What can be asked about a delegation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HolderQuestion {
    /// Have the client give it back, after everything that it keeps has been written: begun when this is answered, which is at once.
    GiveBack,
    /// Is everything that the client knows of the file known here as well? `false` where that cannot be said soon.
    IsUnchanged,
    /// The client has lost it, and does nothing through it any more when this is answered, which is at once.
    Lost,
}

/// What the opens of others do with a file, and deny.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenElsewhere {
    /// What they may do.
    pub access: OpenAccess,
    /// What they deny.
    pub deny: OpenAccess,
}

impl OpenElsewhere {
    /// What has to be taken for true where it is not known.
    pub const UNKNOWN: OpenElsewhere = OpenElsewhere {
        access: OpenAccess { read: true, write: true },
        deny: OpenAccess { read: true, write: true },
    };

    /// Whether that is in the way of a delegation (RFC 8881 section 10.4).
    #[must_use]
    pub fn is_in_way_of(&self, kind: Delegation) -> bool {
        let OpenElsewhere { access, deny } = self;
        access.write || deny.read || kind == Delegation::Write && (access.read || deny.write)
    }
}
