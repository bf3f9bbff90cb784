//! A clock that follows tokio's (pausable) time and jumps when told.

use crate::Clock;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;
use types::Time;

/// Wall time starts at a fixed date, so that runs repeat.
pub struct SimClock {
    start: Instant,
    wall_nanoseconds: Mutex<i128>,
}

impl SimClock {
    /// Begins at 2026-01-01 UTC.
    #[must_use]
    pub fn new() -> SimClock {
        SimClock { start: Instant::now(), wall_nanoseconds: Mutex::new(1_767_225_600_000_000_000) }
    }

    /// Moves the wall clock, and only it, by `seconds`.
    pub fn jump(&self, seconds: i64) {
        *self.wall_nanoseconds.lock() += i128::from(seconds) * 1_000_000_000;
    }
}

impl Default for SimClock {
    fn default() -> Self {
        SimClock::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        let all = *self.wall_nanoseconds.lock() + self.monotonic().as_nanos() as i128;
        Time {
            seconds: i64::try_from(all.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
            nanoseconds: u32::try_from(all.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paused_time_moves_both_clocks_and_a_jump_only_the_wall() {
        let clock = SimClock::new();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
        assert_eq!(clock.now().seconds, before.seconds + 5);
        clock.jump(-3600);
        assert_eq!(clock.now().seconds, before.seconds + 5 - 3600);
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}
