//! The suite, and random comparison with the reference, under bounds and stripes of all sizes.

use crate::rig::{Rig, clear};
use frontend::Background;
use model::Model;
use sim::weather::Weather;
use std::time::Duration;

#[tokio::test]
async fn the_frontend_does_what_the_contract_says() {
    let mut rig = Rig::new(1 << 20);
    // Its times must move between two operations.
    rig.clock = std::sync::Arc::new(env::SystemClock::new());
    let (real, root) = rig.start().await;
    suites::run_for_heads(&real, root).await;
    rig.audit().await;
}

async fn agrees(mut rig: Rig, seed: u64, steps: u64) -> Background {
    let model = Model::of_today();
    let (real, root) = rig.start().await;
    suites::compare((&model, model.root()), (&real, root), seed, steps).await;
    rig.audit_of(&real).await;
    clear(&real, root).await;
    // Opens that the comparison left hold orphans; they go with their client.
    use vfs::Vfs;
    let client = vfs::ClientId(0);
    real.end_client(&crate::rig::root(), vfs::EndClient { client }).await.unwrap();
    rig.must_be_empty().await;
    real.background()
}

#[tokio::test(start_paused = true)]
async fn the_frontend_and_the_model_agree_at_random() {
    for seed in 0..16 {
        agrees(Rig::of_seed(seed, 64 << 10, &Weather::default()), seed, 1500).await;
    }
}

#[tokio::test(start_paused = true)]
async fn they_agree_with_tiny_stripes_and_bounds() {
    for seed in 100..110 {
        let mut rig = Rig::of_seed(seed, 1000 + 77 * (seed as usize - 100), &Weather::default());
        rig.options.dirty_bytes_max = 40_000;
        rig.options.dirty_file_bytes = 10_000;
        agrees(rig, seed, 1000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn they_agree_while_write_back_goes_on_beside() {
    for seed in 200..208 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 30));
        rig.options.dirty_age = Duration::from_millis(5);
        rig.options.dirty_file_bytes = 1000;
        agrees(rig, seed, 1000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn they_agree_while_small_writes_are_folded_and_stripes_cleaned_beside() {
    let (mut folded, mut cleaned) = (0, 0);
    for seed in 300..310 {
        let mut rig = Rig::in_weather(4096 + 500 * (seed as usize - 300), &Weather::delaying(seed, 30));
        rig.options.dirty_age = Duration::from_millis(5);
        rig.fold_at_once();
        rig.options.clean_period = Duration::from_millis(7);
        let done = agrees(rig, seed, 1000).await;
        folded += done.folded;
        cleaned += done.cleaned;
    }
    assert!(cleaned > 5_000, "only {cleaned} bytes were cleaned");
    assert!(folded > 200_000, "only {folded} bytes were folded");
}
