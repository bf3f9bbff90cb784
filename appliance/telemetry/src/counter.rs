//! Numbers that only grow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

static LISTED: Mutex<Vec<&'static Counter>> = Mutex::new(Vec::new());

/// A number that only grows: `static READS: Counter = Counter::new("nfs.reads");`. There are as
/// many as there are statics; none is made at run time.
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    value: AtomicU64,
    listed: AtomicBool,
}

impl Counter {
    /// At zero; the name is `crate.what`.
    #[must_use]
    pub const fn new(name: &'static str) -> Counter {
        Counter { name, value: AtomicU64::new(0), listed: AtomicBool::new(false) }
    }

    /// Counts `amount`.
    pub fn add(&'static self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
        if !self.listed.load(Ordering::Relaxed) && !self.listed.swap(true, Ordering::Relaxed) {
            LISTED.lock().unwrap_or_else(PoisonError::into_inner).push(self);
        }
    }

    /// What was counted.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// Every counter that has counted, by name.
#[must_use]
pub fn counters() -> Vec<(&'static str, u64)> {
    let listed = LISTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut counts: Vec<_> = listed.iter().map(|counter| (counter.name, counter.get())).collect();
    counts.sort_unstable();
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_listed_once_they_count() {
        static A: Counter = Counter::new("test.a");
        static B: Counter = Counter::new("test.b");
        static NEVER: Counter = Counter::new("test.never");
        B.add(1);
        A.add(2);
        A.add(3);
        assert_eq!(NEVER.get(), 0);
        let ours: Vec<_> = counters().into_iter().filter(|(name, _)| name.starts_with("test.")).collect();
        assert_eq!(ours, [("test.a", 5), ("test.b", 1)]);
    }
}
