//! Everything is read again within the period, damage is made good, and what is lost is told.

use crate::rig::{Real, Rig, clear, commit, directory, file, unlink, write};
use frontend::ScrubReport;
use sim::weather::{Mishap, Weather};
use std::time::Duration;
use types::{FileId, StripeId};

const STRIPE: usize = 1000;
const PERIOD: Duration = Duration::from_secs(64);

async fn filled(real: &Real, dir: FileId, files: usize) {
    for i in 0..files {
        let one = file(real, dir, &format!("f{i}")).await;
        write(real, one, 0, &[1; 20 * STRIPE]).await.unwrap();
        commit(real, one).await.unwrap();
    }
}

fn ids(rig: &Rig) -> Vec<StripeId> {
    rig.stripes.ids().into_keys().collect()
}

#[tokio::test(start_paused = true)]
async fn damage_is_made_good_within_the_period_over_restarts() {
    let mut rig = Rig::new(STRIPE);
    rig.options.scrub_period = PERIOD;
    let (mut real, top) = rig.start().await;
    for i in 0..3 {
        let dir = directory(&real, top, &format!("d{i}")).await;
        filled(&real, dir, 5).await;
    }
    let all = ids(&rig);
    assert_eq!(all.len(), 300);
    let mut whole = None;
    for round in 0..20 {
        all.iter().skip(round % 7).step_by(7).for_each(|stripe| rig.stripes.hurt(*stripe));
        // In one life only a part is read.
        for life in 0..7 {
            tokio::time::sleep(PERIOD / 6).await;
            let report = real.background().scrubbed;
            assert!(report.lost == 0 && (report.whole.is_none() || report.whole >= whole), "{report:?}");
            whole = whole.max(report.whole);
            drop(real);
            assert!(life > 0 || rig.stripes.hurt_count() > 0, "round {round}");
            (real, _) = rig.start().await;
        }
        assert_eq!(rig.stripes.hurt_count(), 0, "round {round}");
        rig.audit_of(&real).await;
    }
    assert!(whole.is_some());
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_told_until_nobody_needs_it() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    filled(&real, top, 2).await;
    real.scrub().await.unwrap();
    let report = real.background().scrubbed;
    assert_eq!(report, ScrubReport { bytes: 40 * 8192, left: 0, lost: 0, whole: None });
    let first = ids(&rig)[0];
    rig.stripes.lose(first);
    for _ in 0..2 {
        real.scrub().await.unwrap();
        assert_eq!(real.background().scrubbed.lost, 1);
    }
    unlink(&real, top, "f0").await.unwrap();
    real.scrub().await.unwrap();
    assert_eq!(real.background().scrubbed.lost, 0);
    // Also where it was the last in its slot.
    rig.stripes.lose(*ids(&rig).last().unwrap());
    real.scrub().await.unwrap();
    assert_eq!(real.background().scrubbed.lost, 1);
    clear(&real, top).await;
    real.scrub().await.unwrap();
    assert_eq!(real.background().scrubbed.lost, 0);
    rig.must_be_empty().await;
}

/// Goes on beside everything else, at full speed, with crashes.
#[tokio::test(start_paused = true)]
async fn what_is_removed_meanwhile_is_not_missed_and_does_not_come_back() {
    for seed in 0..20 {
        let mut rig = Rig::in_weather(STRIPE, &Weather::delaying(seed, 50));
        rig.options.scrub_period = Duration::from_millis(20);
        let (real, top) = rig.start().await;
        filled(&real, top, 6).await;
        let scrubbing = tokio::spawn({
            let real = real.clone();
            async move {
                while real.scrub().await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        for i in 0..6 {
            ids(&rig).iter().step_by(3).for_each(|stripe| rig.stripes.hurt(*stripe));
            unlink(&real, top, &format!("f{i}")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(seed * 7)).await;
        }
        assert_eq!(real.background().scrubbed.lost, 0, "seed {seed}");
        scrubbing.abort();
        rig.must_be_empty().await;
    }
}

/// A page of stripes takes long, and each of them may be freed before its turn.
#[tokio::test(start_paused = true)]
async fn what_was_freed_before_its_turn_is_no_damage() {
    const LONG: usize = 64 << 10;
    let mut rig = Rig::new(LONG);
    rig.options.scrub_period = PERIOD;
    let (real, top) = rig.start().await;
    let one = file(&real, top, "one").await;
    for n in 0..4 {
        write(&real, one, n << 20, &[1; 16 * LONG]).await.unwrap();
    }
    commit(&real, one).await.unwrap();
    while real.background().scrubbed.bytes == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // At 256 KiB a second it takes 15 s, and freeing 4 s at most.
    unlink(&real, top, "one").await.unwrap();
    tokio::time::sleep(PERIOD).await;
    assert_eq!((rig.stripes.missed(), real.background().scrubbed.lost, rig.stripes.count()), (0, 0, 0));
    rig.must_be_empty().await;
}

/// A shard that cannot be read, just when the drives are in trouble, has not said that a stripe is not needed.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_up_stays() {
    let mut interrupted = 0;
    for seed in 0..10 {
        let weather = Weather::delaying(seed, 10);
        let mut rig = Rig::in_weather(STRIPE, &weather);
        let (real, top) = rig.start().await;
        filled(&real, top, 3).await;
        let all = ids(&rig);
        all.iter().for_each(|stripe| rig.stripes.hurt(*stripe));
        weather.set(Mishap::Look, 30);
        for _ in 0..20 {
            interrupted += usize::from(real.scrub().await.is_err());
        }
        weather.set(Mishap::Look, 0);
        real.scrub().await.unwrap();
        assert_eq!((ids(&rig), rig.stripes.hurt_count()), (all, 0), "seed {seed}");
        rig.audit_of(&real).await;
    }
    assert!(interrupted > 0);
}

/// A chunk on a drive that is away is not read: its turn comes soon again, and nobody is told that it was.
#[tokio::test(start_paused = true)]
async fn what_was_away_is_read_when_it_is_back() {
    let mut rig = Rig::new(STRIPE);
    rig.options.scrub_period = PERIOD;
    let (real, top) = rig.start().await;
    filled(&real, top, 3).await;
    let all = ids(&rig);
    tokio::time::sleep(PERIOD).await;
    let before = real.background().scrubbed.whole.unwrap();
    for stripe in all.iter().step_by(5) {
        rig.stripes.hurt(*stripe);
        rig.stripes.keep_away(*stripe);
    }
    tokio::time::sleep(PERIOD * 4).await;
    let report = real.background().scrubbed;
    assert!(report.whole.unwrap().seconds < before.seconds + 2 * PERIOD.as_secs() as i64, "{report:?}");
    assert!(report.bytes < 40 * 60 * 8192, "it is read again and again: {report:?}");
    assert_eq!(rig.stripes.hurt_count(), 12);
    rig.stripes.all_are_back();
    tokio::time::sleep(PERIOD * 3 / 4).await;
    assert_eq!(rig.stripes.hurt_count(), 0);
    assert!(real.background().scrubbed.whole.unwrap().seconds > before.seconds + 2 * PERIOD.as_secs() as i64);
    clear(&real, top).await;
    rig.must_be_empty().await;
}
