//! What clients are owed after a restart, and what has to wait for their claims (RFC 8881 section 8.4.2).

use crate::{Client, ShareAccess};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kinds of state that a client may have. Recorded before it gets the first of a kind; while it lives nothing is
/// taken out again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Holds {
    /// Opens.
    pub opens: bool,
    /// Opens that deny something to others.
    pub denies: bool,
    /// Locks.
    pub locks: bool,
}

impl Holds {
    /// None.
    pub const NOTHING: Holds = Holds { opens: false, denies: false, locks: false };
    /// A lock.
    pub const LOCK: Holds = Holds { opens: false, denies: false, locks: true };

    /// An open that denies this.
    #[must_use]
    pub fn open(deny: ShareAccess) -> Holds {
        Holds { opens: true, denies: deny != ShareAccess::NONE, locks: false }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Holds) -> Holds {
        Holds {
            opens: self.opens || other.opens,
            denies: self.denies || other.denies,
            locks: self.locks || other.locks,
        }
    }
}

/// The clients that may still claim what they had. Over as soon as there are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grace {
    owed: BTreeMap<Client, Holds>,
}

impl Grace {
    /// A time of grace for these clients; those that held nothing are owed nothing.
    #[must_use]
    pub fn new(recorded: impl IntoIterator<Item = (Client, Holds)>) -> Grace {
        Grace { owed: recorded.into_iter().filter(|(_, holds)| *holds != Holds::NOTHING).collect() }
    }

    /// Whether nobody is owed anything.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether the client may claim.
    #[must_use]
    pub fn owes(&self, client: Client) -> bool {
        self.owed.contains_key(&client)
    }

    /// Who may still claim.
    pub fn owed(&self) -> impl Iterator<Item = Client> {
        self.owed.keys().copied()
    }

    /// The client has claimed what it wants, or has ended. Says whether the time of grace ends with it.
    pub fn settle(&mut self, client: Client) -> bool {
        self.owed.remove(&client).is_some() && self.is_over()
    }

    /// Whether a new lock has to wait: one that was held could be claimed.
    #[must_use]
    pub fn delays_locks(&self) -> bool {
        self.any(|holds| holds.locks)
    }

    /// Whether a new open has to wait: an open that was denied this could be claimed, or one that does what this
    /// denies.
    #[must_use]
    pub fn delays_open(&self, deny: ShareAccess) -> bool {
        self.any(|holds| holds.denies || holds.opens && deny != ShareAccess::NONE)
    }

    /// Whether reading and writing without an open has to wait. Who is owed something does so only to restore it.
    #[must_use]
    pub fn delays_use(&self, client: Client) -> bool {
        !self.owes(client) && self.any(|holds| holds.denies)
    }

    /// Whether an inode without a name may be claimed.
    #[must_use]
    pub fn keeps_orphans(&self) -> bool {
        self.any(|holds| holds.opens)
    }

    fn any(&self, what: impl Fn(&Holds) -> bool) -> bool {
        self.owed.values().any(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENS: Holds = Holds { opens: true, denies: false, locks: false };
    const WRITE: ShareAccess = ShareAccess::WRITE;

    #[test]
    fn only_what_could_be_in_the_way_of_a_claim_waits() {
        let nobody = Grace::new([(Client(1), Holds::NOTHING)]);
        assert!(nobody.is_over() && !nobody.owes(Client(1)));
        assert!(!nobody.delays_locks() && !nobody.delays_open(WRITE) && !nobody.keeps_orphans());

        let opens = Grace::new([(Client(1), OPENS)]);
        assert!(
            !opens.delays_locks() && !opens.delays_open(ShareAccess::NONE) && !opens.delays_use(Client(2))
        );
        assert!(opens.delays_open(WRITE) && opens.keeps_orphans());

        let denies = Grace::new([(Client(1), Holds::open(WRITE))]);
        assert!(denies.delays_open(ShareAccess::NONE) && denies.delays_use(Client(2)));
        assert!(!denies.delays_use(Client(1)), "it restores what it had");

        let locks = Grace::new([(Client(1), OPENS.and(Holds::LOCK))]);
        assert!(locks.delays_locks() && !locks.delays_open(ShareAccess::NONE));
    }

    #[test]
    fn it_ends_with_the_last_who_is_owed_something() {
        let mut grace =
            Grace::new([(Client(1), OPENS), (Client(2), Holds::LOCK), (Client(3), Holds::NOTHING)]);
        assert!(!grace.settle(Client(3)) && !grace.settle(Client(1)) && !grace.settle(Client(1)));
        assert_eq!(grace.owed().collect::<Vec<_>>(), [Client(2)]);
        assert!(grace.settle(Client(2)) && grace.is_over());
        assert!(!grace.settle(Client(2)), "it has ended before");
    }
}
