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
    /// Stripes are not listed.
    List,
    /// A shard cannot be read.
    Look,
}

/// The longest delay, unless told otherwise.
const LONGEST: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Sky {
    random: Option<SeededRandom>,
    delays: u64,
    longest: Duration,
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
        Weather(Arc::new(Mutex::new(Sky { random, delays: percent, longest: LONGEST, mishaps: Vec::new() })))
    }

    /// From now on delays are this long at most.
    pub fn delay_up_to(&self, longest: Duration) {
        self.0.lock().longest = longest;
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
            (random.next() % 100 < sky.delays)
                .then(|| sky.longest.mul_f64((random.next() % 2000) as f64 / 2000.0))
        };
        match delay {
            Some(delay) => tokio::time::sleep(delay).await,
            None => tokio::task::yield_now().await,
        }
    }
}
