//! What every request carries beside its own arguments.

use serde::{Deserialize, Serialize};
use types::{Cred, RequestId};

/// An end client as opens and locks know it: an NFSv4 client, a FUSE mount session. The same over restarts. 0 is
/// nobody: what it has open is not remembered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ClientId(pub u128);

/// On whose behalf, and as which change of which client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ctx {
    /// The caller.
    pub cred: Cred,
    /// The end client that opens and locks belong to.
    pub client: ClientId,
    /// Identity of a change, so that a retry after a crash gets the first answer. `None` for
    /// clients that cannot retry.
    pub request: Option<RequestId>,
    /// Only the first answer to `request` is wanted, whose sequence may be given by its low 32 bits: a change that
    /// had none is refused with [`types::FsError::NotDone`].
    pub again: bool,
    /// What others keep of a file, and have to give back first, is waited for only for a moment, and ends in
    /// [`types::FsError::Delay`]: for clients that ask again by themselves.
    pub impatient: bool,
}

impl Ctx {
    /// A caller without retries, for tests and internal work.
    #[must_use]
    pub fn new(cred: Cred) -> Ctx {
        Ctx { cred, client: ClientId(0), request: None, again: false, impatient: false }
    }
}
