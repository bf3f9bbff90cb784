//! What goes wrong, and how long things take, by a seed.

use env::{Random, SeededRandom};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mishap {
    /// A command does not arrive.
    Command,
    /// A command takes effect, but nobody hears of it.
    Reply,
    /// A stripe is not written.
    Write,
    /// A stripe is not freed.
    Free,
}

#[derive(Default)]
struct Sky {
    random: Option<SeededRandom>,
    delays: u64,
    mishaps: Vec<(Mishap, u64)>,
}

/// Shared by all parts of one simulation; by default nothing goes wrong and everything is at once.
#[derive(Clone, Default)]
pub struct Weather(Arc<Mutex<Sky>>);

impl Weather {
    /// Delays `percent` of all steps by up to two milliseconds, and lets all others go by turns.
    #[must_use]
    pub fn delaying(seed: u64, percent: u64) -> Weather {
        let random = Some(SeededRandom::new(seed));
        Weather(Arc::new(Mutex::new(Sky { random, delays: percent, mishaps: Vec::new() })))
    }

    /// From now on `percent` of what `mishap` says goes wrong.
    pub fn set(&self, mishap: Mishap, percent: u64) {
        let mut sky = self.0.lock();
        sky.mishaps.retain(|(known, _)| *known != mishap);
        sky.mishaps.push((mishap, percent));
    }

    pub(crate) fn strikes(&self, mishap: Mishap) -> bool {
        let sky = self.0.lock();
        let percent = sky.mishaps.iter().find(|(known, _)| *known == mishap).map_or(0, |(_, p)| *p);
        match &sky.random {
            Some(random) => percent > 0 && random.next() % 100 < percent,
            None => percent >= 100,
        }
    }

    pub(crate) async fn wait(&self) {
        let delay = {
            let sky = self.0.lock();
            let Some(random) = &sky.random else { return };
            (random.next() % 100 < sky.delays).then(|| random.next() % 2000)
        };
        match delay {
            Some(microseconds) => tokio::time::sleep(Duration::from_micros(microseconds)).await,
            None => tokio::task::yield_now().await,
        }
    }
}
