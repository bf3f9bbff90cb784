//! What goes into the state machine and what comes out.

use crate::{Client, LockMode, OpenKey, Owner, Share, Space, WaitId};
use serde::{Deserialize, Serialize};
use types::ByteRange;

/// A lock to take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Request {
    /// For whom.
    pub owner: Owner,
    /// In which family.
    pub space: Space,
    /// Which bytes; taken as the whole file in [`Space::Flock`].
    pub range: ByteRange,
    /// How.
    pub mode: LockMode,
}

/// Something that happens to the locks of one inode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Event {
    /// Takes a lock, or changes the mode of what the owner holds there.
    Lock {
        /// What to take.
        request: Request,
        /// Wait under this name when others are in the way; `None` is answered at once.
        wait: Option<WaitId>,
    },
    /// Gives up what the owner holds in the range; holding nothing there is fine.
    Unlock {
        /// Whose.
        owner: Owner,
        /// In which family.
        space: Space,
        /// Which bytes; the whole file in [`Space::Flock`].
        range: ByteRange,
    },
    /// Gives up a wait; one that is over already is fine.
    Cancel {
        /// Which.
        wait: WaitId,
    },
    /// Gives up all locks and waits of an owner, in both families.
    ReleaseOwner {
        /// Whose.
        owner: Owner,
    },
    /// Gives up all locks, waits and opens of a client.
    ReleaseClient {
        /// Whose.
        client: Client,
    },
    /// Adds an open with its share reservation, or gives an open another one.
    Open {
        /// Which open.
        open: OpenKey,
        /// What it may do and what it denies.
        share: Share,
    },
    /// Ends an open; locks are not touched.
    Close {
        /// Which open.
        open: OpenKey,
    },
}

/// The answer to one event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Granted,
    /// The request stands in the queue; its [`WaitId`] appears in a later [`Outcome::woken`].
    Waiting,
    /// Another owner's lock is in the way; the one with the lowest offset.
    Denied(Conflict),
    /// Waiting would never end: the owners in the way wait, over however many inodes, for this one.
    Deadlock,
    /// Another open denies this access, or does what this open would deny.
    ShareDenied,
    /// The inode has as many locks, waits or opens as it can ([`crate::limits`]).
    Full,
    /// An empty range, or a wait's name that is in use.
    Invalid,
}

/// A lock as it is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// Who holds it.
    pub owner: Owner,
    /// Which bytes.
    pub range: ByteRange,
    /// How.
    pub mode: LockMode,
}

/// All that follows from one event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// To whoever sent the event.
    pub answer: Answer,
    /// Waits that have ended by this event, each with [`Answer::Granted`] or [`Answer::Full`], in
    /// the order of their arrival. Those that the event itself gives up are not among them.
    pub woken: Vec<(WaitId, Answer)>,
}
