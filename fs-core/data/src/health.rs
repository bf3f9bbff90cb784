//! What is known of a drive's behaviour from here: how long it takes, and whether to expect an answer.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Before anything is known of a drive.
const FIRST_GUESS: Duration = Duration::from_millis(50);
const HEDGE_MIN: Duration = Duration::from_millis(2);
const HEDGE_MAX: Duration = Duration::from_secs(1);
/// How long a drive that failed is asked last.
const SUSPICION: Duration = Duration::from_secs(5);

/// Kinds of requests fail and take time each in their own way: a drive whose sync failed reads on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Read,
    /// Write, free, fence.
    Write,
    /// List, stat.
    Other,
}

/// Behaviour of one drive.
#[derive(Default)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Smoothed latency of reads and its deviation, as TCP does it (RFC 6298).
    mean: Option<(f64, f64)>,
    suspect_until: Option<Instant>,
    /// Reads may go on.
    write_suspect_until: Option<Instant>,
    in_flight: u32,
}

impl Health {
    /// A request begins; the guard counts it until dropped.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.state.lock().in_flight += 1;
        InFlight { health: self }
    }

    /// An answer came after `took`.
    pub(crate) fn answered(&self, kind: Kind, took: Duration) {
        let took = took.as_secs_f64();
        let mut state = self.state.lock();
        state.suspect_until = None;
        if kind == Kind::Write {
            state.write_suspect_until = None;
        }
        if kind != Kind::Read {
            return;
        }
        state.mean = Some(match state.mean {
            None => (took, took / 2.0),
            Some((mean, deviation)) => {
                (mean + (took - mean) / 8.0, deviation + ((took - mean).abs() - deviation) / 4.0)
            }
        });
    }

    /// The drive failed, or did not answer in time.
    pub(crate) fn failed(&self, kind: Kind) {
        let until = Some(Instant::now() + SUSPICION);
        let mut state = self.state.lock();
        match kind {
            Kind::Write => state.write_suspect_until = until,
            Kind::Read | Kind::Other => state.suspect_until = until,
        }
    }

    /// Whether a write would go well, as far as is known.
    pub(crate) fn takes_writes(&self) -> bool {
        let now = Instant::now();
        let state = self.state.lock();
        [state.suspect_until, state.write_suspect_until].iter().flatten().all(|until| *until <= now)
    }

    /// Whether no answer is expected.
    pub(crate) fn is_suspect(&self) -> bool {
        self.state.lock().suspect_until.is_some_and(|until| Instant::now() < until)
    }

    /// How long to wait for an answer before asking others: beyond the recent tail, nothing when suspect.
    pub(crate) fn patience(&self) -> Duration {
        if self.is_suspect() {
            return Duration::ZERO;
        }
        match self.state.lock().mean {
            None => FIRST_GUESS,
            Some((mean, deviation)) => {
                Duration::from_secs_f64(mean + 8.0 * deviation).clamp(HEDGE_MIN, HEDGE_MAX)
            }
        }
    }

    /// Requests that wait for an answer.
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.lock().in_flight
    }
}

pub(crate) struct InFlight<'a> {
    health: &'a Health,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.health.state.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_follows_the_tail_and_suspicion_ends() {
        let health = Health::default();
        assert_eq!(health.patience(), FIRST_GUESS);
        for _ in 0..100 {
            health.answered(Kind::Read, Duration::from_millis(10));
            health.answered(Kind::Other, Duration::from_micros(1));
            health.answered(Kind::Write, Duration::from_millis(80));
        }
        let calm = health.patience();
        assert!(calm >= Duration::from_millis(10) && calm < Duration::from_millis(12), "{calm:?}");
        health.answered(Kind::Read, Duration::from_millis(100));
        assert!(health.patience() > Duration::from_millis(100));
        health.failed(Kind::Write);
        assert!(!health.takes_writes() && !health.is_suspect());
        health.answered(Kind::Read, Duration::from_millis(10));
        assert!(!health.takes_writes());
        health.answered(Kind::Write, Duration::from_millis(10));
        assert!(health.takes_writes());
        health.failed(Kind::Read);
        assert!(!health.takes_writes());
        assert_eq!((health.is_suspect(), health.patience()), (true, Duration::ZERO));
        tokio::time::advance(SUSPICION).await;
        assert!(!health.is_suspect());
        let one = health.begin();
        let two = health.begin();
        assert_eq!(health.in_flight(), 2);
        drop((one, two));
        assert_eq!(health.in_flight(), 0);
    }
}
