//! Full drives: it is the write that is told, never who asks for durability.

use crate::rig::{Rig, clear, commit, file, truncate, unlink, write};
use env::{Random, SeededRandom};
use sim::weather::Weather;
use types::FsError;

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_fits_and_what_does_not_fit_is_not_acknowledged() {
    let mut refusals = 0;
    for seed in 0..12 {
        let random = SeededRandom::new(seed);
        let mut rig = Rig::in_weather(40_000, &Weather::delaying(seed, 20));
        rig.stripes = rig.stripes.of_size(700_000);
        let (real, top) = rig.start().await;
        let mut files = Vec::new();
        for n in 0..12 {
            files.push(file(&real, top, &format!("f{n}")).await);
        }
        let mut tasks = Vec::new();
        for (n, one) in files.iter().copied().enumerate() {
            let (real, random) = (real.clone(), SeededRandom::new(seed * 100 + n as u64));
            tasks.push(tokio::spawn(async move {
                let mut refusals = 0;
                for _ in 0..40 {
                    let length = [300, 5_000, 17_000, 30_000, 50_000][random.below(5) as usize];
                    let length = length + random.below(1000) as usize;
                    match write(&real, one, random.below(120_000), &vec![1; length]).await {
                        Ok(_) => {}
                        Err(FsError::NoSpace) => refusals += 1,
                        Err(error) => panic!("{error}"),
                    }
                    match random.below(8) {
                        0 => drop(commit(&real, one).await.expect("what was acknowledged fits")),
                        1 if refusals > 0 => drop(truncate(&real, one, random.below(40_000)).await.unwrap()),
                        _ => {}
                    }
                }
                commit(&real, one).await.expect("what was acknowledged fits");
                refusals
            }));
        }
        for task in tasks {
            refusals += task.await.unwrap();
        }
        assert_eq!(real.promised(), 0, "nothing waits");
        for n in 0..random.below(12) {
            unlink(&real, top, &format!("f{n}")).await.unwrap();
        }
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
    assert!(refusals > 100, "the drive was never full: {refusals}");
}
