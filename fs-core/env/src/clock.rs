//! Time: wall clock for what files carry, monotonic for deadlines.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use types::Time;

/// The only source of time. Timers go through `tokio::time`, which a simulation pauses.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time; may jump.
    fn now(&self) -> Time;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Counts monotonic time from now.
    #[must_use]
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Time {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            // A clock before 1970 is a flat battery: the epoch is as good an answer as any.
            Err(_) => Time::default(),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_after_2020_and_never_goes_back() {
        let clock = SystemClock::new();
        assert!(clock.now().seconds > 1_577_836_800);
        assert!(clock.now().nanoseconds < 1_000_000_000);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }
}
