//! Seeds, and what they may not show.

use crate::client::Client;
use crate::site::{Site, Size};
use env::Random;
use std::time::Duration;

const SIZES: [Size; 3] = [
    Size { drives: 1, scheme: "1+0", shards: 1 },
    Size { drives: 1, scheme: "1+0", shards: 3 },
    Size { drives: 6, scheme: "4+2", shards: 2 },
];

struct Outcome {
    digest: u64,
    steps: u64,
}

/// One seed: lives that end in crashes, and a last one that ends in order.
fn run(seed: u64) -> Outcome {
    let size = SIZES[(seed % SIZES.len() as u64) as usize];
    let mut site = Site::new(seed, size);
    let random = site.random();
    let mut clients: Vec<Client> = (0..1 + random.below(3)).map(|n| Client::new(seed, n)).collect();
    let crashes = 1 + random.below(3);
    for life in 0..=crashes {
        let last = life == crashes;
        let until = Duration::from_micros(random.below(40_000));
        site.live(async |core| {
            for client in &mut clients {
                client.settle_in(&core.files, core.top).await;
            }
            if life > 0 {
                let recover = clients.iter_mut().map(|client| client.recover(&core.files));
                futures_util::future::join_all(recover).await;
                core.check().await;
            }
            let work = clients.iter_mut().map(|client| client.run(&core.files));
            let _ = tokio::time::timeout(until, futures_util::future::join_all(work)).await;
            if last {
                core.close().await;
            }
        });
    }
    site.live(async |core| {
        let recover = clients.iter_mut().map(|client| client.recover(&core.files));
        futures_util::future::join_all(recover).await;
        core.check().await;
    });
    let digest = clients.iter().fold(0, |all: u64, client| all.rotate_left(7) ^ client.digest);
    Outcome { digest, steps: clients.iter().map(|client| client.steps).sum() }
}

fn some(seeds: std::ops::Range<u64>) {
    let mut steps = 0;
    for seed in seeds {
        println!("seed {seed}");
        steps += run(seed).steps;
    }
    println!("{steps} steps");
}

#[test]
fn a_seed_replays() {
    for seed in 0..6 {
        let (first, again) = (run(seed), run(seed));
        assert_eq!((first.digest, first.steps), (again.digest, again.steps), "seed {seed}");
    }
}

#[test]
fn first_seeds() {
    some(0..30);
}
