//! Who waits for whom, over many inodes: a wait that would close a circle is refused.

use crate::{Owner, WaitId};
use std::collections::{BTreeMap, BTreeSet};

/// The graph of waits of all inodes whose [`crate::Locks`] are applied with it.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    waits: BTreeMap<WaitId, (Owner, Vec<Owner>)>,
    by_owner: BTreeSet<(Owner, WaitId)>,
}

impl Waits {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Waits {
        Waits::default()
    }

    /// Number of waits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waits.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    pub(crate) fn contains(&self, wait: WaitId) -> bool {
        self.waits.contains_key(&wait)
    }

    /// Whether `owner`, waiting for `blockers`, would wait for itself.
    pub(crate) fn closes_circle(&self, owner: Owner, blockers: &[Owner]) -> bool {
        let mut seen: BTreeSet<Owner> = BTreeSet::new();
        let mut open: Vec<Owner> = blockers.to_vec();
        while let Some(next) = open.pop() {
            if next == owner {
                return true;
            }
            if !seen.insert(next) {
                continue;
            }
            let from = (next, WaitId(0));
            let to = (next, WaitId(u64::MAX));
            for (_, wait) in self.by_owner.range(from..=to) {
                if let Some((_, blockers)) = self.waits.get(wait) {
                    open.extend_from_slice(blockers);
                }
            }
        }
        false
    }

    /// Adds a wait or says anew whom it waits for.
    pub(crate) fn set(&mut self, wait: WaitId, owner: Owner, blockers: Vec<Owner>) {
        self.by_owner.insert((owner, wait));
        self.waits.insert(wait, (owner, blockers));
    }

    pub(crate) fn remove(&mut self, wait: WaitId) {
        if let Some((owner, _)) = self.waits.remove(&wait) {
            self.by_owner.remove(&(owner, wait));
        }
    }
}
