//! Close-to-open: what a client that answers from its pages between an open and a close may read.
//!
//! A read after an open sees at least what was closed before the open: a value is too old when, before the open, another
//! write had ended that began after that of the value had ended, or another value had been read by one who began after that.
//! Reads of such a client bind nobody else: it may show its own writes to its own processes before they are closed.

use std::collections::HashMap;

/// A write, or a read that is checked for linearizability: `value` was there at some time between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) value: u64,
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) is_write: bool,
}

/// A read after an open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) value: u64,
    /// When it began to open.
    pub(super) opened: u64,
    /// When it had read.
    pub(super) ended: u64,
}

/// For each value that was ever known: the earliest time at which it was certainly gone.
pub(super) struct Ages {
    written: HashMap<u64, (u64, u64)>,
    gone: HashMap<u64, u64>,
}

impl Ages {
    /// Of a value that starts as `first`, and of which each other is written once.
    pub(super) fn new(first: u64, known: &[Known]) -> Ages {
        let mut written = HashMap::from([(first, (0, 0))]);
        written
            .extend(known.iter().filter(|one| one.is_write).map(|one| (one.value, (one.began, one.ended))));
        let mut by_beginning: Vec<&Known> = known.iter().collect();
        by_beginning.sort_unstable_by_key(|one| one.began);
        // From each on: the earliest end, and the earliest of another value than that one's.
        let mut earliest = vec![[(u64::MAX, first); 2]; known.len() + 1];
        for (at, one) in by_beginning.iter().enumerate().rev() {
            let [best, next] = earliest[at + 1];
            earliest[at] = match (one.ended, one.value) {
                end if end.0 < best.0 && end.1 != best.1 => [end, best],
                end if end.0 < best.0 => [end, next],
                end if end.1 != best.1 && end.0 < next.0 => [best, end],
                _ => [best, next],
            };
        }
        let gone = written.iter().map(|(value, (_, ended))| {
            let from = by_beginning.partition_point(|one| one.began <= *ended);
            let [best, next] = earliest[from];
            (*value, if best.1 == *value { next.0 } else { best.0 })
        });
        let gone = gone.collect();
        Ages { written, gone }
    }

    /// Whether a session may have read what it read.
    pub(super) fn allow(&self, session: &Session) -> bool {
        let Some((began, _)) = self.written.get(&session.value) else { return false };
        *began <= session.ended && session.opened <= self.gone[&session.value]
    }
}
