//! Freeing what no file needs, and counting again what there is.

use crate::rig::{Rig, clear, commit, file, read, truncate, unlink, write};
use env::{Random, SeededRandom};
use frontend::{Check, OnDrives};
use sim::weather::{Mishap, Weather};
use std::time::Duration;
use types::StripeId;

/// Bytes of one stripe here.
const STRIPE: usize = 1000;

#[tokio::test(start_paused = true)]
async fn much_garbage_goes_fast_and_is_counted_to_the_last_byte() {
    const STRIPES: usize = 20_000;
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let big = file(&real, top, "big").await;
    let data = vec![1; 500_000];
    for at in (0..STRIPES * STRIPE).step_by(data.len()) {
        write(&real, big, at as u64, &data).await.unwrap();
        commit(&real, big).await.unwrap();
    }
    assert_eq!(rig.stripes.count(), STRIPES);
    let live = real.taken().await.unwrap().live;
    assert_eq!(live, STRIPES as u64 * 8192);
    unlink(&real, top, "big").await.unwrap();
    let start = tokio::time::Instant::now();
    while rig.stripes.count() > 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        rig.audit_of(&real).await;
    }
    assert!(start.elapsed() < Duration::from_secs(60), "it took {:?}", start.elapsed());
    rig.must_be_empty().await;
    assert_eq!(real.background().freed, live);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_found_wrong_however_much_goes_on_meanwhile() {
    for seed in 0..6 {
        let mut rig = Rig::in_weather(4096, &Weather::delaying(seed, 30));
        rig.options.dirty_age = Duration::from_millis(5);
        rig.fold_at_once();
        let (real, top) = rig.start().await;
        let random = SeededRandom::new(seed);
        let checker = tokio::spawn({
            let real = real.clone();
            async move {
                let mut all = Vec::new();
                for _ in 0..10 {
                    all.push(real.check_accounts().await.unwrap());
                }
                all
            }
        });
        let mut names = 0;
        while !checker.is_finished() {
            let text = format!("f{}", random.next() % 8);
            match random.next() % 4 {
                0 => {
                    let _ = unlink(&real, top, &text).await;
                }
                1 => {
                    names += 1;
                    file(&real, top, &format!("g{names}")).await;
                }
                _ => {
                    let lookup = vfs::Lookup { dir: top, name: crate::rig::name(&text) };
                    let found = vfs::Vfs::lookup(&real, &crate::rig::root(), lookup).await;
                    let one = match found {
                        Ok(found) => found.attr.file,
                        Err(_) => file(&real, top, &text).await,
                    };
                    let data = vec![1; (random.next() % 9000) as usize + 1];
                    write(&real, one, random.next() % 30_000, &data).await.unwrap();
                    if random.next().is_multiple_of(2) {
                        commit(&real, one).await.unwrap();
                    }
                    if random.next().is_multiple_of(8) {
                        truncate(&real, one, random.next() % 30_000).await.unwrap();
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(random.next() % 500)).await;
        }
        let none = Check { differences: 0, drives: Some(OnDrives::default()) };
        assert_eq!(checker.await.unwrap(), vec![none; 10], "seed {seed}");
        rig.audit_of(&real).await;
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_drives_have_too_much_is_counted_and_goes() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let one = file(&real, top, "one").await;
    write(&real, one, 0, &[1; 50_000]).await.unwrap();
    commit(&real, one).await.unwrap();
    // Ids that were granted and never used: what a write that went wrong may leave.
    let known: Vec<StripeId> = rig.stripes.ids().into_keys().collect();
    let last = *known.last().unwrap();
    for n in 1..=3 {
        rig.stripes.plant(StripeId(last.0 + n), vec![0; STRIPE].into());
    }
    let check = real.check_accounts().await.unwrap();
    assert_eq!(check, Check { differences: 0, drives: Some(OnDrives { orphan: 3 * 8192, missing: 0 }) });
    assert_eq!(rig.stripes.count(), known.len());
    let check = real.check_accounts().await.unwrap();
    assert_eq!(check.drives, Some(OnDrives::default()));
    // What nobody has asked for yet goes at the next start.
    rig.stripes.plant(StripeId(last.0 + 4), vec![0; STRIPE].into());
    drop(real);
    // One that nobody was ever granted stays: it is not known whose it is.
    rig.stripes.plant(StripeId(last.0 + 10_000), vec![0; STRIPE].into());
    let (real, _) = rig.start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.stripes.count(), known.len() + 1);
    rig.stripes.lose(StripeId(last.0 + 10_000));
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// A write that a crash has cut, and a drive that is away when the next life begins.
#[tokio::test(start_paused = true)]
async fn what_a_crash_has_left_goes_as_soon_as_all_drives_are_there() {
    for (away, then) in [(5, 2), (600, 100)] {
        let weather = Weather::delaying(1, 0);
        let mut rig = Rig::in_weather(STRIPE, &weather);
        let (real, top) = rig.start().await;
        let one = file(&real, top, "one").await;
        write(&real, one, 0, &[1; 50_000]).await.unwrap();
        commit(&real, one).await.unwrap();
        let known: Vec<StripeId> = rig.stripes.ids().into_keys().collect();
        drop(real);
        rig.stripes.plant(StripeId(known.last().unwrap().0 + 1), vec![0; STRIPE].into());
        for mishap in [Mishap::List, Mishap::Free] {
            weather.set(mishap, 100);
        }
        let (real, _) = rig.start().await;
        tokio::time::sleep(Duration::from_secs(away)).await;
        assert_eq!(rig.stripes.count(), known.len() + 1);
        weather.set(Mishap::List, 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        weather.set(Mishap::Free, 0);
        tokio::time::sleep(Duration::from_secs(then)).await;
        assert_eq!(rig.stripes.count(), known.len(), "away for {away} s");
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_freed_is_tried_again_and_stands_in_nobodys_way() {
    let weather = Weather::delaying(1, 0);
    let mut rig = Rig::in_weather(STRIPE, &weather);
    let (real, top) = rig.start().await;
    let write_file = async |text: &str| {
        let one = file(&real, top, text).await;
        write(&real, one, 0, &[1; 400_000]).await.unwrap();
        commit(&real, one).await.unwrap();
    };
    // Half of what is tried fails: all goes in the end.
    write_file("half").await;
    unlink(&real, top, "half").await.unwrap();
    weather.set(Mishap::Free, 50);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.stripes.count(), 0);
    assert_eq!(real.taken().await.unwrap().garbage, 0);

    // Nothing can be freed for a long time, and then everything soon.
    weather.set(Mishap::Free, 100);
    write_file("all").await;
    unlink(&real, top, "all").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(rig.stripes.count(), 400);
    assert_eq!(real.taken().await.unwrap().garbage, 400 * 8192);
    weather.set(Mishap::Free, 0);
    tokio::time::sleep(Duration::from_secs(40)).await;
    rig.must_be_empty().await;
}

/// Writes that take longer than it takes to call their chunks orphans: they are not, and nobody hears of it.
#[tokio::test(start_paused = true)]
async fn a_writer_that_is_far_too_slow_is_waited_for() {
    let mut looked = 0;
    for seed in 0..6 {
        // More than a minute for some steps.
        let weather = Weather::delaying(seed, 30);
        let mut rig = Rig::in_weather(STRIPE, &weather);
        weather.delay_up_to(Duration::from_secs(90));
        rig.options.dirty_age = Duration::from_secs(3600);
        let (real, top) = rig.start().await;
        let looks = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counting = tokio::spawn({
            let (real, looks) = (real.clone(), looks.clone());
            async move {
                let mut orphans = 0u64;
                while let Ok(found) = real.check_accounts().await {
                    orphans += u64::from(found.drives.is_some_and(|drives| drives.orphan > 0));
                    looks.store(orphans, std::sync::atomic::Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        let writing: Vec<_> = (0..6u8)
            .map(|n| {
                let real = real.clone();
                tokio::spawn(async move {
                    let one = file(&real, top, &format!("f{n}")).await;
                    write(&real, one, 0, &[n; 30_000]).await.unwrap();
                    commit(&real, one).await.unwrap();
                    (one, n)
                })
            })
            .collect();
        for task in writing {
            let (one, n) = task.await.unwrap();
            assert_eq!(read(&real, one, 0, 40_000).await, vec![n; 30_000], "seed {seed}");
        }
        counting.abort();
        looked += looks.load(std::sync::atomic::Ordering::Relaxed);
        weather.delay_up_to(Duration::ZERO);
        rig.audit_of(&real).await;
        drop(real);
        let (real, top) = rig.start().await;
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
    assert!(looked > 0, "nobody was too slow");
}
