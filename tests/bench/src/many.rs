//! One thing done again and again from many threads.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Does `one` with numbers that grow from `from` on, until `until` says so of a number and the time since the beginning; how
/// often it was done, and in which time.
///
/// # Errors
/// The first of a thread.
pub fn many(
    threads: u64,
    from: u64,
    until: impl Fn(u64, Duration) -> bool + Sync,
    one: impl Fn(u64) -> Result<(), Box<dyn Error + Send + Sync>> + Sync,
) -> Result<(u64, Duration), Box<dyn Error + Send + Sync>> {
    let (next, begun) = (AtomicU64::new(from), Instant::now());
    std::thread::scope(|scope| {
        let work = || -> Result<u64, Box<dyn Error + Send + Sync>> {
            for done in 0.. {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if until(number, begun.elapsed()) {
                    return Ok(done);
                }
                one(number)?;
            }
            Ok(0)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut done = 0;
        for thread in threads {
            done += thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok((done, begun.elapsed()))
    })
}
