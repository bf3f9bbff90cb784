//! Who may trust what it has heard of a file, until when, and who has to hear of a change before it happens.
//!
//! A client that hears the attributes of a file gets a lease on them. Whoever changes the file first has every other
//! holder told, waits until each has said that it trusts them no more or its lease has ended, and only then changes
//! it. While a change is under way nobody gets a lease: what is heard meanwhile may be of before or after.
//!
//! Moments are counted by whoever holds this state; only their order and distance matter.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use types::FileId;

/// Leases at once, at most; beyond, none are given until others have ended.
const LEASES_MAX: usize = 1 << 18;
/// Changes remembered after their end, for who has begun to read before it.
const ENDED_MAX: usize = 256;

/// A lease, by its number: a later one of the same client on the same file is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub u64);

/// A change that is under way.
#[derive(PartialEq, Eq, Debug)]
pub struct Change {
    files: Vec<FileId>,
}

/// Whether anything has changed since: to be taken before reading what a lease is then asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mark(u64);

/// A holder that must hear of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder<C> {
    /// Who.
    pub client: C,
    /// Which file it trusts.
    pub file: FileId,
    /// The lease.
    pub lease: LeaseId,
    /// When it ends by itself.
    pub until: u64,
}

/// All leases of one owner of this state.
#[derive(Debug)]
pub struct Leases<C> {
    files: HashMap<FileId, OfFile<C>>,
    /// In the order in which they end: every lease is as long as every other.
    ends: VecDeque<(u64, FileId, LeaseId)>,
    term: u64,
    next: u64,
    /// How many changes have ended.
    ended: u64,
    /// The last changes that have ended, by their number.
    recent: BTreeMap<u64, Vec<FileId>>,
}

#[derive(Debug)]
struct OfFile<C> {
    holders: Vec<(C, LeaseId, u64)>,
    changes: u32,
}

impl<C: Copy + Eq + Hash> Leases<C> {
    /// None yet; each will last for `term`.
    #[must_use]
    pub fn new(term: u64) -> Leases<C> {
        let (files, ends, recent) = Default::default();
        Leases { files, ends, term, next: 0, ended: 0, recent }
    }

    /// Whether nobody trusts anything and nothing is being changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// To be taken before the attributes are read.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.ended)
    }

    /// Whatever was read so far gives no lease any more, as if all of it had changed since.
    pub fn distrust(&mut self) {
        self.recent.clear();
        self.ended += 1;
    }

    /// The files on which there is a lease, of those that `which` chooses; in order.
    #[must_use]
    pub fn files(&self, which: impl Fn(&FileId) -> bool) -> Vec<FileId> {
        let mut files: Vec<FileId> = self.files.keys().filter(|file| which(file)).copied().collect();
        files.sort_unstable();
        files
    }

    /// Gives `client` a lease on what it has read of `file` since `mark`, if that is still so.
    pub fn grant(&mut self, now: u64, client: C, file: FileId, mark: Mark) -> bool {
        self.expire(now);
        let changed = self.recent.range(mark.0..).any(|(_, files)| files.contains(&file));
        let forgotten = self.ended - mark.0 > self.recent.len() as u64;
        let changing = self.files.get(&file).is_some_and(|of| of.changes > 0);
        if changed || forgotten || changing || self.ends.len() >= LEASES_MAX {
            return false;
        }
        let (lease, until) = (LeaseId(self.next), now.saturating_add(self.term));
        self.next += 1;
        let of = self.files.entry(file).or_insert(OfFile { holders: Vec::new(), changes: 0 });
        of.holders.retain(|(holder, ..)| *holder != client);
        of.holders.push((client, lease, until));
        self.ends.push_back((until, file, lease));
        true
    }

    /// Begins a change of `files` by `client`; whoever else trusts what is known of them comes back.
    pub fn begin(&mut self, now: u64, client: C, files: Vec<FileId>) -> (Change, Vec<Holder<C>>) {
        self.expire(now);
        let mut holders = Vec::new();
        for file in &files {
            let of = self.files.entry(*file).or_insert(OfFile { holders: Vec::new(), changes: 0 });
            of.changes += 1;
            let others = of.holders.iter().filter(|(holder, ..)| *holder != client);
            holders.extend(others.map(|(client, lease, until)| {
                let (client, lease, until) = (*client, *lease, *until);
                Holder { client, file: *file, lease, until }
            }));
        }
        (Change { files }, holders)
    }

    /// Ends a change, whatever became of it.
    pub fn end(&mut self, change: Change) {
        for file in &change.files {
            if let Some(of) = self.files.get_mut(file) {
                of.changes -= 1;
                self.tidy(*file);
            }
        }
        self.recent.insert(self.ended, change.files);
        self.ended += 1;
        if self.recent.len() > ENDED_MAX {
            self.recent.pop_first();
        }
    }

    /// The holder trusts it no more.
    pub fn give_back(&mut self, file: FileId, lease: LeaseId) {
        if let Some(of) = self.files.get_mut(&file) {
            of.holders.retain(|(_, held, _)| *held != lease);
            self.tidy(file);
        }
    }

    /// Whether the lease is still there at `now`.
    pub fn holds(&mut self, now: u64, file: FileId, lease: LeaseId) -> bool {
        self.expire(now);
        self.files.get(&file).is_some_and(|of| of.holders.iter().any(|(_, held, _)| *held == lease))
    }

    fn expire(&mut self, now: u64) {
        while let Some((until, file, lease)) = self.ends.front().copied()
            && until <= now
        {
            self.ends.pop_front();
            self.give_back(file, lease);
        }
    }

    fn tidy(&mut self, file: FileId) {
        if self.files.get(&file).is_some_and(|of| of.changes == 0 && of.holders.is_empty()) {
            self.files.remove(&file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use types::{FsId, InodeId};

    fn file(number: u64) -> FileId {
        FileId { fs: FsId(1), ino: InodeId(number) }
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
        assert_eq!(leases.files(|_| true), [file(1), file(2)], "those who were told have to give them back");
        assert_eq!(leases.files(|one| *one == file(2)), [file(2)]);
        let mark = leases.mark();
        assert!(leases.grant(1, 'b', file(3), mark));
        let (change, _) = leases.begin(1, 'c', vec![file(3)]);
        leases.end(change);
        assert!(!leases.grant(1, 'b', file(3), mark) && !leases.grant(1, 'b', file(4), before));
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
                            if leases.holds(now, holder.file, holder.lease) {
                                trusted.remove(&(holder.client, number));
                                leases.give_back(holder.file, holder.lease);
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
