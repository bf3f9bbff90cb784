//! Seeds, and what they may not show.

use crate::bugs::Bug;
use crate::client::Client;
use crate::site::{Core, Site, Size};
use env::Random;
use futures_util::future::join_all;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const SIZES: [Size; 5] = [
    Size { drives: 1, scheme: "1+0", shards: 1 },
    Size { drives: 6, scheme: "4+2", shards: 2 },
    Size { drives: 1, scheme: "1+0", shards: 3 },
    Size { drives: 6, scheme: "4+2", shards: 1 },
    Size { drives: 6, scheme: "4+2", shards: 4 },
];

/// What seeds have met.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Outcome {
    /// Of every answer and its time.
    digest: u64,
    steps: u64,
    again: u64,
    lost: u64,
    folded: u64,
    freed: u64,
    reconstructed: u64,
    repaired: u64,
}

impl Outcome {
    fn note(&mut self, core: &Core) {
        let (background, counters) = (core.files.background(), core.counters());
        self.folded += background.folded;
        self.freed += background.freed;
        self.reconstructed += counters.reconstructed;
        self.repaired += counters.repaired;
    }
}

/// One seed: lives that end in crashes, then one in which everything is made whole, then one that has lost as many
/// other drives as may be lost.
fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let mut site = Site::new(seed, SIZES[(seed % SIZES.len() as u64) as usize], bug);
    let random = site.random();
    let mut clients: Vec<Client> = (0..1 + random.below(3)).map(|n| Client::new(seed, n)).collect();
    let mut outcome = Outcome::default();
    for life in 0..1 + random.below(4) {
        site.draw_fates();
        let until = Duration::from_micros(random.below(40_000));
        let rebuilds = random.below(2) == 0;
        site.live(async |core| {
            let work = async {
                begin(&mut clients, core, life > 0).await;
                let rebuild = async {
                    while rebuilds && !matches!(core.rebuild().await, Ok(true)) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                tokio::join!(join_all(clients.iter_mut().map(|client| client.run(core))), rebuild);
            };
            // It may come in the middle of recovery, too.
            let cut = if random.below(8) == 0 { until } else { until + Duration::from_millis(60) };
            let _ = tokio::time::timeout(cut, work).await;
            outcome.note(core);
        });
    }
    site.end_faults();
    site.live(async |core| {
        begin(&mut clients, core, true).await;
        while core.rebuild().await != Ok(true) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        core.check().await;
        outcome.note(core);
        core.close().await;
    });
    site.lose_others();
    site.live(async |core| begin(&mut clients, core, true).await);
    site.end_faults();
    site.live(async |core| {
        begin(&mut clients, core, true).await;
        for client in &mut clients {
            client.clear(core).await;
        }
        // What is found to be garbage at one look is freed at the next.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            if core.left().await.is_empty() {
                break;
            }
        }
        assert_eq!(core.left().await, [""; 0], "of what was removed");
        outcome.note(core);
    });
    outcome.digest = clients.iter().fold(0, |all: u64, client| all.rotate_left(7) ^ client.digest);
    for client in &clients {
        outcome.steps += client.steps;
        outcome.again += client.again;
        outcome.lost += client.lost;
    }
    outcome
}

/// All clients come, or come back and look at what is there.
async fn begin(clients: &mut [Client], core: &Core, again: bool) {
    for client in clients.iter_mut() {
        client.settle_in(core).await;
    }
    if again {
        join_all(clients.iter_mut().map(|client| client.recover(core))).await;
        core.check().await;
    }
}

fn some(seeds: impl Iterator<Item = u64>) -> Outcome {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).without_time().with_test_writer().try_init();
    let mut all = Outcome::default();
    for seed in seeds {
        let one = catch_unwind(AssertUnwindSafe(|| run(seed, None)));
        let one = one.unwrap_or_else(|_| panic!("seed {seed}"));
        all.steps += one.steps;
        all.again += one.again;
        all.lost += one.lost;
        all.folded += one.folded;
        all.freed += one.freed;
        all.reconstructed += one.reconstructed;
        all.repaired += one.repaired;
    }
    println!("{all:?}");
    all
}

#[test]
fn a_seed_replays() {
    for seed in 0..10 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

#[test]
fn first_seeds() {
    let from = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let count = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30);
    some(from..from + count);
}

/// Whether one of so many seeds finds the bug.
fn finds(bug: Bug, seeds: u64) {
    let found = (0..seeds).find(|seed| catch_unwind(AssertUnwindSafe(|| run(*seed, Some(bug)))).is_err());
    println!("{bug:?}: found by seed {found:?}");
    assert!(found.is_some(), "{bug:?} is not found by {seeds} seeds");
}

#[test]
fn a_quorum_that_is_too_small_is_found() {
    finds(Bug::Quorum, 200);
}

#[test]
fn a_recovery_that_does_not_ask_is_found() {
    finds(Bug::TwoPhase, 200);
}

#[test]
fn a_stripe_that_is_freed_too_early_is_found() {
    finds(Bug::Reclamation, 200);
}

#[test]
fn answers_that_are_not_kept_are_found() {
    finds(Bug::Replay, 200);
}
