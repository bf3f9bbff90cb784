//! Who has what of the drives: the sums of the map and those of the drives, brought together.
//!
//! The map says what the chunks of stripes take when all are there, drives say what is on them. What drives have
//! beyond the map are orphans; what they have less is missing. Which of the two a difference is cannot be seen
//! from sums where drives are away: then the orphans are those that were last counted one by one.

use admin::Capacity;

/// Bytes on drives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    /// What all drives in reach have for chunks.
    pub(crate) total: u64,
    /// What chunks take of that.
    pub(crate) chunks: u64,
    /// What logs and maps take beside.
    pub(crate) metadata: u64,
    /// What the map says that stripes with live pieces take.
    pub(crate) live: u64,
    /// What the map says that stripes to be freed take.
    pub(crate) garbage: u64,
    /// Orphans when they were last counted.
    pub(crate) orphan: u64,
    /// Drives are away, or not rebuilt yet.
    pub(crate) degraded: bool,
}

impl Sums {
    /// `live + garbage + orphan + metadata = used`, whatever the sums are.
    pub(crate) fn capacity(&self) -> Capacity {
        let expected = self.live.saturating_add(self.garbage);
        let known = if self.degraded { self.orphan.min(self.chunks) } else { 0 };
        let found = self.chunks - known;
        let missing = expected.saturating_sub(found);
        // Where all drives are there, what is missing has just been freed and is about to be forgotten.
        let of_garbage =
            if self.degraded { share(missing, self.garbage, expected) } else { missing.min(self.garbage) };
        Capacity {
            total: self.total + self.metadata,
            used: self.chunks + self.metadata,
            live: Some(self.live - (missing - of_garbage)),
            garbage: Some(self.garbage - of_garbage),
            orphan: Some(known + found.saturating_sub(expected)),
            metadata: Some(self.metadata),
            missing: Some(if self.degraded { missing } else { missing - of_garbage }),
            ..Capacity::default()
        }
    }
}

/// `of * part / whole`, rounded so that the rest fits the other part.
fn share(of: u64, part: u64, whole: u64) -> u64 {
    // At most `part`, as `of` is at most `whole`.
    (u128::from(of) * u128::from(part) / u128::from(whole.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(chunks: u64, live: u64, garbage: u64, orphan: u64, degraded: bool) -> [u64; 4] {
        let sums = Sums { total: 1000, chunks, metadata: 50, live, garbage, orphan, degraded };
        let capacity = sums.capacity();
        let get = |value: Option<u64>| value.unwrap();
        let parts = [get(capacity.live), get(capacity.garbage), get(capacity.orphan), get(capacity.missing)];
        assert_eq!(parts[..3].iter().sum::<u64>() + get(capacity.metadata), capacity.used);
        assert_eq!((capacity.total, capacity.used), (1050, chunks + 50));
        parts
    }

    #[test]
    fn the_parts_are_the_whole_whatever_the_sums_are() {
        assert_eq!(sums(100, 80, 20, 0, false), [80, 20, 0, 0]);
        assert_eq!(sums(130, 80, 20, 0, false), [80, 20, 30, 0], "written and not committed yet");
        assert_eq!(sums(90, 80, 20, 7, false), [80, 10, 0, 0], "freed and not forgotten yet");
        assert_eq!(sums(70, 80, 20, 0, false), [70, 0, 0, 10], "chunks are lost");
        assert_eq!(sums(60, 80, 20, 10, true), [40, 10, 10, 50], "a drive is away");
        assert_eq!(sums(130, 80, 20, 10, true), [80, 20, 30, 0]);
        assert_eq!(sums(5, 80, 20, 10, true), [0, 0, 5, 100]);
        assert_eq!(sums(0, 0, 0, 10, true), [0, 0, 0, 0]);
        for seed in 0..5000u64 {
            let number = |n: u64| (seed * (n * 2 + 1) * 7919) % (13 + n * 31);
            sums(number(1), number(2), number(3), number(4), seed % 2 == 0);
        }
    }
}
