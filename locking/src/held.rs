//! The ranges that owners hold in one space: replace, split and merge as POSIX has them.

use crate::limits::HELD_MAX;
use crate::{Client, Conflict, LockMode, Owner};
use types::ByteRange;

/// Sorted by offset, then owner. Of one owner, ranges never overlap, and never touch with equal mode.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    locks: Vec<Conflict>,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.locks.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.locks.iter()
    }

    /// Locks of others that `mode` on `range` cannot stand beside, lowest offset first.
    pub(crate) fn conflicts(
        &self,
        owner: Owner,
        range: ByteRange,
        mode: LockMode,
    ) -> impl Iterator<Item = &Conflict> {
        self.locks.iter().take_while(move |held| held.range.offset < range.end).filter(move |held| {
            held.owner != owner && held.range.overlaps(&range) && held.mode.conflicts(mode)
        })
    }

    /// What `owner` holds somewhere in `range`.
    pub(crate) fn of(&self, owner: Owner, range: ByteRange) -> impl Iterator<Item = &Conflict> {
        self.locks.iter().filter(move |held| held.owner == owner && held.range.overlaps(&range))
    }

    /// Makes `owner` hold `mode` (or nothing) on exactly `range`; what it holds elsewhere stays.
    /// `Err` and no change when that needs more ranges than `HELD_MAX - elsewhere`.
    pub(crate) fn set(
        &mut self,
        owner: Owner,
        range: ByteRange,
        mode: Option<LockMode>,
        elsewhere: usize,
    ) -> Result<(), TooMany> {
        // What merges with the new range or is cut by it; all else stays where it is.
        let near = |held: &Conflict| {
            held.owner == owner && held.range.offset <= range.end && range.offset <= held.range.end
        };
        let mut mine: Vec<Conflict> = Vec::new();
        let mut before = 0;
        for held in self.locks.iter().filter(|held| near(held)) {
            before += 1;
            let left = ByteRange { offset: held.range.offset, end: held.range.end.min(range.offset) };
            let right = ByteRange { offset: held.range.offset.max(range.end), end: held.range.end };
            let parts = [left, right].into_iter().filter(|part| !part.is_empty());
            mine.extend(parts.map(|part| Conflict { range: part, ..*held }));
        }
        mine.extend(mode.map(|mode| Conflict { owner, range, mode }));
        mine.sort_by_key(|held| held.range);
        mine.dedup_by(|next, before| {
            let merges = before.mode == next.mode && before.range.end == next.range.offset;
            if merges {
                before.range.end = next.range.end;
            }
            merges
        });
        if mine.len() > before && self.locks.len() - before + mine.len() + elsewhere > HELD_MAX {
            return Err(TooMany);
        }
        if before > 0 {
            self.locks.retain(|held| !near(held));
        }
        for held in mine {
            let place = |other: &Conflict| (other.range.offset, other.owner);
            let at = self.locks.partition_point(|other| place(other) < place(&held));
            self.locks.insert(at, held);
        }
        Ok(())
    }

    /// Drops all of one owner; whether there was any.
    pub(crate) fn remove_owner(&mut self, owner: Owner) -> bool {
        let before = self.locks.len();
        self.locks.retain(|held| held.owner != owner);
        self.locks.len() != before
    }

    /// Drops all of one client; whether there was any.
    pub(crate) fn remove_client(&mut self, client: Client) -> bool {
        let before = self.locks.len();
        self.locks.retain(|held| held.owner.client != client);
        self.locks.len() != before
    }
}

/// The bound on ranges is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooMany;
