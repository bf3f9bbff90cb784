//! The locks, waits and opens of one inode.

use crate::held::Held;
use crate::limits::WAITERS_MAX;
use crate::share::Shares;
use crate::{
    Answer, Client, Conflict, Event, LockMode, OpenKey, Outcome, Owner, Request, Share, ShareAccess, Space,
    WaitId, Waits,
};
use types::ByteRange;

const WHOLE_FILE: ByteRange = ByteRange { offset: 0, end: u64::MAX };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiter {
    wait: WaitId,
    request: Request,
}

/// The state of one inode; empty is the same as absent.
///
/// Waiters are looked at in the order of their arrival whenever something is given up. A newcomer
/// is measured against what is held, not against who waits: queueing behind waiters would make
/// circles out of requests that POSIX grants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locks {
    range: Held,
    flock: Held,
    waiters: Vec<Waiter>,
    shares: Shares,
}

impl Locks {
    /// Nothing held.
    #[must_use]
    pub fn new() -> Locks {
        Locks::default()
    }

    /// Whether nothing is held, waited for or open, so that the state can be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.len() == 0 && self.flock.len() == 0 && self.waiters.is_empty() && self.shares.is_empty()
    }

    /// Applies one event. `waits` is the same for all inodes of whoever holds this state.
    pub fn apply(&mut self, event: Event, waits: &mut Waits) -> Outcome {
        match event {
            Event::Lock { request, wait } => self.lock(request, wait, waits),
            Event::Unlock { owner, space, range } => self.unlock(owner, space, range, waits),
            Event::Cancel { wait } => {
                self.drop_waiters(waits, |waiter| waiter.wait == wait);
                Outcome { answer: Answer::Granted, woken: Vec::new() }
            }
            Event::ReleaseOwner { owner } => {
                self.drop_waiters(waits, |waiter| waiter.request.owner == owner);
                let freed = self.range.remove_owner(owner) | self.flock.remove_owner(owner);
                self.freed(freed, waits)
            }
            Event::ReleaseClient { client } => self.release_client(client, waits),
            Event::Open { open, share } => {
                Outcome { answer: self.shares.set(open, share), woken: Vec::new() }
            }
            Event::Close { open } => {
                self.shares.remove(open);
                Outcome { answer: Answer::Granted, woken: Vec::new() }
            }
        }
    }

    /// The lock with the lowest offset that would be in the way of `request`.
    #[must_use]
    pub fn test(&self, request: &Request) -> Option<Conflict> {
        let range = in_space(request.space, request.range);
        self.held(request.space).conflicts(request.owner, range, request.mode).next().copied()
    }

    /// Whether an access without an open (or through `except`) is denied by a share reservation.
    #[must_use]
    pub fn denies(&self, access: ShareAccess, except: Option<OpenKey>) -> bool {
        self.shares.refuses(access, ShareAccess::NONE, except)
    }

    /// The reservation of an open.
    #[must_use]
    pub fn share(&self, open: OpenKey) -> Option<&Share> {
        self.shares.get(open)
    }

    /// What the opens of others than `client` may do together, and what they deny.
    #[must_use]
    pub fn others(&self, client: Client) -> (ShareAccess, ShareAccess) {
        self.shares.others(client)
    }

    /// All that is held in a family, lowest offset first.
    pub fn held_in(&self, space: Space) -> impl Iterator<Item = &Conflict> {
        self.held(space).iter()
    }

    /// Number of ranges held, of waits, of opens.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.range.len() + self.flock.len(), self.waiters.len(), self.shares.len())
    }

    /// Whether `owner` holds anything in either family (RFC 8881 18.38: FREE_STATEID, LOCKS_HELD).
    #[must_use]
    pub fn holds(&self, owner: Owner) -> bool {
        self.range.iter().chain(self.flock.iter()).any(|held| held.owner == owner)
    }

    fn held(&self, space: Space) -> &Held {
        match space {
            Space::Range => &self.range,
            Space::Flock => &self.flock,
        }
    }

    /// Sets a range of one space, within the bound on both together.
    fn set(&mut self, owner: Owner, space: Space, range: ByteRange, mode: Option<LockMode>) -> Answer {
        let (held, elsewhere) = match space {
            Space::Range => (&mut self.range, self.flock.len()),
            Space::Flock => (&mut self.flock, self.range.len()),
        };
        match held.set(owner, range, mode, elsewhere) {
            Ok(()) => Answer::Granted,
            Err(_) => Answer::Full,
        }
    }

    fn lock(&mut self, request: Request, wait: Option<WaitId>, waits: &mut Waits) -> Outcome {
        let request = Request { range: in_space(request.space, request.range), ..request };
        let Request { owner, space, range, mode } = request;
        if range.is_empty() || wait.is_some_and(|wait| waits.contains(wait)) {
            return Outcome { answer: Answer::Invalid, woken: Vec::new() };
        }
        let changes = self.held(space).of(owner, range).any(|held| held.mode != mode);
        // flock(2) gives up the old mode before it asks for the new one; two upgraders do not block each other.
        if space == Space::Flock && changes {
            self.flock.remove_owner(owner);
        }
        let answer = match self.test(&request) {
            None => self.set(owner, space, range, Some(mode)),
            Some(conflict) => match wait {
                None => Answer::Denied(conflict),
                Some(wait) => self.enqueue(Waiter { wait, request }, waits),
            },
        };
        let woken = if changes { self.wake(waits) } else { Vec::new() };
        self.refresh(space, range, waits);
        Outcome { answer, woken }
    }

    fn enqueue(&mut self, waiter: Waiter, waits: &mut Waits) -> Answer {
        if self.waiters.len() >= WAITERS_MAX {
            return Answer::Full;
        }
        let blockers = self.blockers(&waiter.request);
        if waits.closes_circle(waiter.request.owner, &blockers) {
            return Answer::Deadlock;
        }
        waits.set(waiter.wait, waiter.request.owner, blockers);
        self.waiters.push(waiter);
        Answer::Waiting
    }

    /// Whom a request waits for in the graph. In flock's family nobody: its owners are descriptions
    /// that processes share, and flock(2) knows no deadlock.
    fn blockers(&self, request: &Request) -> Vec<Owner> {
        if request.space == Space::Flock {
            return Vec::new();
        }
        let mut owners: Vec<Owner> = self
            .held(request.space)
            .conflicts(request.owner, request.range, request.mode)
            .map(|held| held.owner)
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    fn unlock(&mut self, owner: Owner, space: Space, range: ByteRange, waits: &mut Waits) -> Outcome {
        let range = in_space(space, range);
        if range.is_empty() {
            return Outcome { answer: Answer::Invalid, woken: Vec::new() };
        }
        let freed = self.held(space).of(owner, range).next().is_some();
        match self.set(owner, space, range, None) {
            Answer::Granted => self.freed(freed, waits),
            answer => Outcome { answer, woken: Vec::new() },
        }
    }

    fn release_client(&mut self, client: Client, waits: &mut Waits) -> Outcome {
        self.drop_waiters(waits, |waiter| waiter.request.owner.client == client);
        self.shares.remove_client(client);
        let freed = self.range.remove_client(client) | self.flock.remove_client(client);
        self.freed(freed, waits)
    }

    fn freed(&mut self, freed: bool, waits: &mut Waits) -> Outcome {
        let woken = if freed { self.wake(waits) } else { Vec::new() };
        if freed {
            for space in [Space::Range, Space::Flock] {
                self.refresh(space, WHOLE_FILE, waits);
            }
        }
        Outcome { answer: Answer::Granted, woken }
    }

    /// Grants what can be granted, first come first, until nothing more can: a grant that weakens
    /// what its owner held (exclusive to shared) makes room for others.
    fn wake(&mut self, waits: &mut Waits) -> Vec<(WaitId, Answer)> {
        let mut woken = Vec::new();
        let mut again = true;
        while again {
            again = false;
            for Waiter { wait, request } in std::mem::take(&mut self.waiters) {
                if self.test(&request).is_some() {
                    self.waiters.push(Waiter { wait, request });
                    continue;
                }
                let Request { owner, space, range, mode } = request;
                again |= mode == LockMode::Shared
                    && self.held(space).of(owner, range).any(|held| held.mode == LockMode::Exclusive);
                waits.remove(wait);
                woken.push((wait, self.set(owner, space, range, Some(mode))));
            }
        }
        woken
    }

    /// Tells the graph whom the waiters in a range wait for now.
    fn refresh(&self, space: Space, range: ByteRange, waits: &mut Waits) {
        for waiter in &self.waiters {
            if waiter.request.space == space && waiter.request.range.overlaps(&range) {
                waits.set(waiter.wait, waiter.request.owner, self.blockers(&waiter.request));
            }
        }
    }

    fn drop_waiters(&mut self, waits: &mut Waits, which: impl Fn(&Waiter) -> bool) {
        self.waiters.retain(|waiter| {
            let drop = which(waiter);
            if drop {
                waits.remove(waiter.wait);
            }
            !drop
        });
    }
}

/// flock(2) knows only the whole file.
fn in_space(space: Space, range: ByteRange) -> ByteRange {
    match space {
        Space::Range => range,
        Space::Flock => WHOLE_FILE,
    }
}
