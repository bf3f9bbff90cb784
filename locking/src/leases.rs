//! Who may trust what it has heard of a file, until when, and who has to hear of a change before it happens.
//!
//! A client that hears the attributes of a file gets a lease on them; one that hears which file a name leads to gets one on the names
//! of that file. Whoever changes either first has every other holder told, waits until each has said that it trusts them no more or its lease has ended, and only then changes
//! it. While a change is under way nobody gets a lease: what is heard meanwhile may be of before or after.
//!
//! Moments are counted by whoever holds this state; only their order and distance matter.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use types::{FileId, Leased};

/// Leases at once, at most; beyond, none are given until others have ended.
const LEASES_MAX: usize = 1 << 18;
/// Changes remembered after their end, for who has begun to read before it.
const ENDED_MAX: usize = 256;

/// A lease, by its number: a later one of the same client on the same is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub u64);

/// A change that is under way.
#[derive(PartialEq, Eq, Debug)]
pub struct Change {
    of: Vec<Leased>,
}

/// Whether anything has changed since: to be taken before reading what a lease is then asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark(u64);

/// A holder that must hear of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder<C> {
    /// Who.
    pub client: C,
    /// What it trusts.
    pub what: Leased,
    /// The lease.
    pub lease: LeaseId,
    /// When it ends by itself.
    pub until: u64,
}

/// All leases of one owner of this state.
#[derive(Debug)]
pub struct Leases<C> {
    held: HashMap<Leased, Held<C>>,
    /// In the order in which they end: every lease is as long as every other.
    ends: VecDeque<(u64, Leased, LeaseId)>,
    term: u64,
    next: u64,
    /// How many changes have ended.
    ended: u64,
    /// The last changes that have ended, by their number.
    recent: BTreeMap<u64, Vec<Leased>>,
}

#[derive(Debug)]
struct Held<C> {
    holders: Vec<(C, LeaseId, u64)>,
    changes: u32,
}

impl<C: Copy + Eq + Hash> Leases<C> {
    /// None yet; each will last for `term`.
    #[must_use]
    pub fn new(term: u64) -> Leases<C> {
        let (held, ends, recent) = Default::default();
        Leases { held, ends, term, next: 0, ended: 0, recent }
    }

    /// Whether nobody trusts anything and nothing is being changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// To be taken before what a lease is asked for is read.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.ended)
    }

    /// Whatever was read so far gives no lease any more, as if all of it had changed since.
    pub fn distrust(&mut self) {
        self.recent.clear();
        self.ended += 1;
    }

    /// On what there is a lease, of the files that `which` chooses; in order.
    #[must_use]
    pub fn leased(&self, which: impl Fn(FileId) -> bool) -> Vec<Leased> {
        let mut leased: Vec<Leased> = self.held.keys().filter(|what| which(what.file())).copied().collect();
        leased.sort_unstable();
        leased
    }

    /// Gives `client` a lease on `what`, which it has read since `mark`, if that is still so.
    pub fn grant(&mut self, now: u64, client: C, what: Leased, mark: Mark) -> bool {
        self.expire(now);
        let changed = self.recent.range(mark.0..).any(|(_, of)| of.contains(&what));
        let forgotten = self.ended - mark.0 > self.recent.len() as u64;
        let changing = self.held.get(&what).is_some_and(|held| held.changes > 0);
        if changed || forgotten || changing || self.ends.len() >= LEASES_MAX {
            return false;
        }
        let (lease, until) = (LeaseId(self.next), now.saturating_add(self.term));
        self.next += 1;
        let held = self.held.entry(what).or_insert(Held { holders: Vec::new(), changes: 0 });
        held.holders.retain(|(holder, ..)| *holder != client);
        held.holders.push((client, lease, until));
        self.ends.push_back((until, what, lease));
        true
    }

    /// Whether anybody else trusts `what`.
    pub fn is_held_by_others(&mut self, now: u64, client: C, what: Leased) -> bool {
        self.expire(now);
        self.held.get(&what).is_some_and(|held| held.holders.iter().any(|(holder, ..)| *holder != client))
    }

    /// Begins a change of these by `client`; whoever else trusts any of them comes back.
    pub fn begin(&mut self, now: u64, client: C, of: Vec<Leased>) -> (Change, Vec<Holder<C>>) {
        self.expire(now);
        let mut holders = Vec::new();
        for &what in &of {
            let held = self.held.entry(what).or_insert(Held { holders: Vec::new(), changes: 0 });
            held.changes += 1;
            let others = held.holders.iter().filter(|(holder, ..)| *holder != client);
            holders.extend(others.map(|&(client, lease, until)| Holder { client, what, lease, until }));
        }
        (Change { of }, holders)
    }

    /// Ends a change, whatever became of it.
    pub fn end(&mut self, change: Change) {
        for &what in &change.of {
            if let Some(held) = self.held.get_mut(&what) {
                held.changes -= 1;
                self.tidy(what);
            }
        }
        self.recent.insert(self.ended, change.of);
        self.ended += 1;
        if self.recent.len() > ENDED_MAX {
            self.recent.pop_first();
        }
    }

    /// The holder trusts it no more.
    pub fn give_back(&mut self, what: Leased, lease: LeaseId) {
        if let Some(held) = self.held.get_mut(&what) {
            held.holders.retain(|(_, one, _)| *one != lease);
            self.tidy(what);
        }
    }

    /// Whether the lease is still there at `now`.
    pub fn holds(&mut self, now: u64, what: Leased, lease: LeaseId) -> bool {
        self.expire(now);
        self.held.get(&what).is_some_and(|held| held.holders.iter().any(|(_, one, _)| *one == lease))
    }

    fn expire(&mut self, now: u64) {
        while let Some((until, what, lease)) = self.ends.front().copied()
            && until <= now
        {
            self.ends.pop_front();
            self.give_back(what, lease);
        }
    }

    fn tidy(&mut self, what: Leased) {
        if self.held.get(&what).is_some_and(|held| held.changes == 0 && held.holders.is_empty()) {
            self.held.remove(&what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::{FsId, InodeId};

    fn file(number: u64) -> Leased {
        Leased::Attributes(FileId { fs: FsId(1), ino: InodeId(number) })
    }

    #[test]
    fn a_change_waits_for_all_others_that_trust() {
        let mut leases = Leases::new(10);
        let mark = leases.mark();
        assert!(leases.grant(0, 'a', file(1), mark) && leases.grant(1, 'b', file(1), mark));
        let (change, holders) = leases.begin(2, 'a', vec![file(1), file(2)]);
        assert_eq!(
            holders.iter().map(|holder| (holder.client, holder.until)).collect::<Vec<_>>(),
            [('b', 11)]
        );
        assert!(!leases.grant(2, 'c', file(1), mark), "it is being changed");
        assert!(leases.holds(10, file(1), holders[0].lease));
        assert!(!leases.holds(11, file(1), holders[0].lease), "it has ended");
        leases.end(change);
        assert!(!leases.grant(12, 'c', file(1), mark), "it was read before the change");
        let mark = leases.mark();
        assert!(leases.grant(12, 'c', file(1), mark));
        let (change, holders) = leases.begin(12, 'b', vec![file(1)]);
        leases.give_back(file(1), holders[0].lease);
        assert!(!leases.holds(12, file(1), holders[0].lease));
        leases.end(change);
        assert!(leases.is_empty());
    }

    #[test]
    fn what_was_read_before_everything_went_is_trusted_by_nobody() {
        let mut leases = Leases::new(10);
        let before = leases.mark();
        assert!(leases.grant(0, 'a', file(2), before) && leases.grant(0, 'a', file(1), before));
        leases.distrust();
        assert!(!leases.grant(1, 'b', file(3), before), "it was read before");
        assert_eq!(leases.leased(|_| true), [file(1), file(2)], "those who were told have to give them back");
        assert_eq!(leases.leased(|one| one == file(2).file()), [file(2)]);
        let mark = leases.mark();
        assert!(leases.grant(1, 'b', file(3), mark));
        let (change, _) = leases.begin(1, 'c', vec![file(3)]);
        leases.end(change);
        assert!(!leases.grant(1, 'b', file(3), mark) && !leases.grant(1, 'b', file(4), before));
    }

    #[test]
    fn names_and_attributes_are_trusted_apart() {
        let mut leases = Leases::new(10);
        let (attributes, mark) = (file(1), leases.mark());
        let names = Leased::Names(attributes.file());
        assert!(leases.grant(0, 'a', attributes, mark) && leases.grant(0, 'a', names, mark));
        let (change, holders) = leases.begin(1, 'b', vec![attributes]);
        assert_eq!(holders.iter().map(|holder| holder.what).collect::<Vec<_>>(), [attributes]);
        leases.give_back(attributes, holders[0].lease);
        leases.end(change);
        let (_, holders) = leases.begin(2, 'b', vec![attributes, names]);
        assert_eq!(holders.iter().map(|holder| holder.what).collect::<Vec<_>>(), [names]);
        assert_eq!(leases.leased(|_| true), [attributes, names]);
    }

    proptest! {
        /// Against a file that is a number: whoever holds a lease at a change's end has read the newest.
        #[test]
        fn who_trusts_is_right(steps in proptest::collection::vec((0..5u8, 0..3u8, 0..3u64), 1..200)) {
            let mut leases = Leases::new(7);
            let (mut values, mut now) = ([0u64; 3], 0);
            // Reads and changes under way, and what each client trusts: value and end.
            let (mut reads, mut changes) = (Vec::new(), Vec::new());
            let mut trusted = HashMap::<(u8, u64), (u64, u64)>::new();
            for (what, client, number) in steps {
                match what {
                    0 => reads.push((client, number, leases.mark(), values[number as usize])),
                    1 => if let Some((client, number, mark, value)) = reads.pop()
                        && leases.grant(now, client, file(number), mark)
                    {
                        trusted.insert((client, number), (value, now + 7));
                    },
                    2 => {
                        let (change, holders) = leases.begin(now, client, vec![file(number)]);
                        changes.push((change, holders, client, number));
                    }
                    3 => if let Some((change, holders, client, number)) = changes.pop() {
                        for holder in holders {
                            if leases.holds(now, holder.what, holder.lease) {
                                trusted.remove(&(holder.client, number));
                                leases.give_back(holder.what, holder.lease);
                            }
                        }
                        // Its own kernel knows of its own changes.
                        trusted.remove(&(client, number));
                        values[number as usize] += 1;
                        leases.end(change);
                    },
                    _ => now += 1,
                }
                for ((_, number), (value, until)) in &trusted {
                    prop_assert!(*until <= now || *value == values[*number as usize]);
                }
            }
        }
    }
}
