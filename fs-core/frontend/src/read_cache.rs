//! What was read of stripes, kept for who reads it again. A stripe never changes and its number is never given to
//! another, so nothing here is ever stale, and nobody has to be told when a file changes: it has other stripes then.

use bytes::{Bytes, BytesMut};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use types::StripeId;

/// What is kept and dropped together: what large reads ask for at a time.
const WINDOW: u32 = 1 << 20;
/// Windows up to this are copied out of the buffer that they came in; of larger ones that are all of their buffer, this much of
/// it may be beside them.
const COPIED: usize = 128 << 10;
/// What a window costs beside its bytes, about.
const WINDOW_COST: u64 = 256;
/// Of which size windows are taken to be when the table is laid out; it grows.
const WINDOW_BYTES_LIKELY: u64 = 256 << 10;

/// Which window of a stripe.
type Key = (StripeId, u32);

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, _: &Key, data: &Bytes) -> u64 {
        let beside = if data.len() > COPIED { COPIED as u64 } else { 0 };
        data.len() as u64 + beside + WINDOW_COST
    }
}

/// The same in each run; who chooses the numbers of stripes is us.
type Hashing = BuildHasherDefault<DefaultHasher>;
type Windows = Cache<Key, Bytes, Weight, Hashing>;

/// Windows of stripes, up to a budget. What is read once does not drive out what is read again and again.
pub(crate) struct ReadCache {
    /// `None` where nothing is kept.
    windows: Option<Windows>,
    budget: u64,
    found: AtomicU64,
    missed: AtomicU64,
}

/// What the cache of data has done since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReadCacheUse {
    /// Bytes that it may take.
    pub budget: u64,
    /// Bytes that it has.
    pub used: u64,
    /// Bytes that were read from it.
    pub found: u64,
    /// Bytes that were read from drives, as it did not have them.
    pub missed: u64,
}

impl ReadCache {
    /// Of at most `budget` bytes; 0 for nothing at all.
    pub(crate) fn new(budget: u64) -> ReadCache {
        let windows = (budget > 0).then(|| {
            let likely = usize::try_from(budget / WINDOW_BYTES_LIKELY).unwrap_or(usize::MAX);
            Cache::with(likely, budget, Weight, Hashing::default(), DefaultLifecycle::default())
        });
        ReadCache { windows, budget, found: AtomicU64::new(0), missed: AtomicU64::new(0) }
    }

    /// Those bytes of a stripe, if all of them are here.
    pub(crate) fn get(&self, stripe: StripeId, range: Range<u32>) -> Option<Bytes> {
        let windows = self.windows.as_ref()?;
        let part = |index: u32| {
            let window = windows.get(&(stripe, index))?;
            let begin = index * WINDOW;
            let (from, to) = (range.start.max(begin) - begin, range.end.min(begin + WINDOW) - begin);
            (from <= to && to as usize <= window.len()).then(|| window.slice(from as usize..to as usize))
        };
        let (first, last) = (range.start / WINDOW, range.end.saturating_sub(1) / WINDOW);
        let data = if first >= last {
            part(first)?
        } else {
            let mut joined = BytesMut::with_capacity(range.len());
            for index in first..=last {
                joined.extend_from_slice(&part(index)?);
            }
            joined.freeze()
        };
        self.found.fetch_add(data.len() as u64, Ordering::Relaxed);
        Some(data)
    }

    /// `data` was read of a stripe of `length` bytes, from `at` on: what of it are whole windows is kept.
    pub(crate) fn put(&self, stripe: StripeId, length: u32, at: u32, data: &Bytes) {
        self.missed.fetch_add(data.len() as u64, Ordering::Relaxed);
        let Some(windows) = &self.windows else { return };
        let end = at + data.len() as u32;
        for index in at.div_ceil(WINDOW)..=end / WINDOW {
            let begin = index * WINDOW;
            let window = begin..length.min(begin.saturating_add(WINDOW));
            if !window.is_empty() && window.end <= end {
                let part = &data[(window.start - at) as usize..(window.end - at) as usize];
                let is_all = part.len() == data.len() && part.len() > COPIED;
                // A slice would keep all of the buffer alive.
                let kept = if is_all { data.clone() } else { Bytes::copy_from_slice(part) };
                windows.insert((stripe, index), kept);
            }
        }
    }

    /// What it has done.
    pub(crate) fn usage(&self) -> ReadCacheUse {
        ReadCacheUse {
            budget: self.budget,
            used: self.windows.as_ref().map_or(0, Cache::weight),
            found: self.found.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn byte(stripe: u64, at: u32) -> u8 {
        (u64::from(at) * 31 + u64::from(at >> 12) + stripe) as u8
    }

    fn content(stripe: u64, range: Range<u32>) -> Bytes {
        range.map(|at| byte(stripe, at)).collect::<Vec<u8>>().into()
    }

    #[test]
    fn whole_windows_are_kept_and_parts_of_them_are_not() {
        let cache = ReadCache::new(64 << 20);
        let (one, length) = (StripeId(7), 2 * WINDOW + 5000);
        // The end of the stripe makes its last window whole.
        cache.put(one, length, WINDOW - 10, &content(7, WINDOW - 10..length));
        assert_eq!(cache.get(one, 0..10), None);
        assert_eq!(cache.get(one, WINDOW - 1..WINDOW + 1), None);
        assert_eq!(cache.get(one, WINDOW..WINDOW + 4096), Some(content(7, WINDOW..WINDOW + 4096)));
        assert_eq!(cache.get(one, 2 * WINDOW - 9..length), Some(content(7, 2 * WINDOW - 9..length)));
        assert_eq!(cache.get(StripeId(8), WINDOW..WINDOW + 1), None);
        cache.put(StripeId(8), 9000, 1, &content(8, 1..9000));
        cache.put(StripeId(8), 9000, 0, &content(8, 0..8999));
        assert_eq!(cache.get(StripeId(8), 1..8999), None);
        cache.put(StripeId(8), 9000, 0, &content(8, 0..9000));
        assert_eq!(cache.get(StripeId(8), 0..9000), Some(content(8, 0..9000)));
    }

    #[test]
    fn the_budget_holds_and_what_is_read_again_stays() {
        let budget = 8 << 20;
        let cache = ReadCache::new(budget);
        let hot = StripeId(1);
        let window = content(1, 0..WINDOW);
        cache.put(hot, WINDOW, 0, &window);
        for stripe in 2..200 {
            assert!(cache.get(hot, 0..WINDOW).is_some(), "{stripe}");
            cache.put(StripeId(stripe), WINDOW, 0, &window);
            assert!(cache.usage().used <= budget);
        }
        assert!(cache.usage().used > budget / 2);
        let nothing = ReadCache::new(0);
        nothing.put(hot, WINDOW, 0, &window);
        assert_eq!(nothing.get(hot, 0..WINDOW), None);
        assert_eq!(nothing.usage(), ReadCacheUse { missed: u64::from(WINDOW), ..ReadCacheUse::default() });
    }

    proptest! {
        #[test]
        fn what_comes_back_is_what_the_stripe_has(
            steps in prop::collection::vec((0u64..4, 0..5 * WINDOW / 2, 0..WINDOW + 9, any::<bool>()), 1..40),
        ) {
            let (cache, length) = (ReadCache::new(6 << 20), 5 * WINDOW / 2);
            for (stripe, at, bytes, put) in steps {
                let range = at..length.min(at + bytes);
                if put {
                    cache.put(StripeId(stripe), length, at, &content(stripe, range));
                } else if let Some(data) = cache.get(StripeId(stripe), range.clone()) {
                    prop_assert_eq!(data, content(stripe, range));
                }
            }
        }
    }
}
