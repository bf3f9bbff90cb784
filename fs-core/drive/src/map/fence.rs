//! Who may write to a shard's map: the one who opened it last. A writer that was given up, stuck in a slow
//! disk, cannot come back and lay old values over new ones.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use types::ShardId;

/// How long a write that is under way may take before its successor gives up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The fences of all shards of a drive.
#[derive(Default)]
pub(super) struct Fences(Mutex<HashMap<ShardId, Arc<Mutex<u64>>>>);

/// The right to write to a shard's map, until another one is given out.
#[derive(Clone)]
pub(super) struct Pass {
    fence: Arc<Mutex<u64>>,
    number: u64,
}

impl Fences {
    /// A pass; all former ones of the shard are void. `None` while a write under one of them does not end.
    pub(super) fn pass(&self, shard: ShardId) -> Option<Pass> {
        let fence = self.0.lock().entry(shard).or_default().clone();
        let number = {
            let mut last = fence.try_lock_for(PATIENCE)?;
            *last += 1;
            *last
        };
        Some(Pass { fence, number })
    }
}

impl Pass {
    /// Held while writing; `None` when the pass is void.
    pub(super) fn hold(&self) -> Option<MutexGuard<'_, u64>> {
        let last = self.fence.lock();
        (*last == self.number).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_pass_is_good_and_none_is_given_during_a_write() {
        let fences = Fences::default();
        let (first, other) = (fences.pass(ShardId(1)).unwrap(), fences.pass(ShardId(2)).unwrap());
        let writing = first.hold().unwrap();
        assert!(fences.pass(ShardId(1)).is_none());
        drop(writing);
        let second = fences.pass(ShardId(1)).unwrap();
        assert!(first.hold().is_none() && first.clone().hold().is_none());
        assert!(second.hold().is_some() && other.hold().is_some());
    }
}
