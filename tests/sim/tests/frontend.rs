//! The real frontend and namespace over memory: the suite, and random comparison with the reference.

use env::{SeededRandom, SystemClock};
use frontend::{Frontend, Options};
use model::Model;
use sim::parts::{MemoryShard, MemoryStripes};
use std::sync::Arc;
use types::FileId;

async fn fresh(seed: u64, stripe_bytes: usize) -> (Frontend<MemoryShard, MemoryStripes>, FileId) {
    let random = SeededRandom::new(seed);
    let (shard, stripes) = (MemoryShard::default(), MemoryStripes::new(stripe_bytes));
    let clock = Arc::new(SystemClock::new());
    let frontend = Frontend::start(shard, stripes, Options::default(), clock, &random).await.unwrap();
    let fs = frontend.make_filesystem("default", &random).await.unwrap();
    (frontend, FileId::root(fs))
}

#[tokio::test]
async fn the_frontend_does_what_the_contract_says() {
    let (frontend, root) = fresh(1, 1 << 20).await;
    suites::run(&frontend, root).await;
}

#[tokio::test]
async fn the_frontend_and_the_model_agree_at_random() {
    for seed in 0..20 {
        let model = Model::of_today();
        let (frontend, root) = fresh(seed, 64 << 10).await;
        suites::compare((&model, model.root()), (&frontend, root), seed, 2000).await;
    }
}
