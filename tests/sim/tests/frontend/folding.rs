//! Small writes that went with the metadata end in stripes, and nobody sees it happen.

use crate::rig::{Real, Rig, attr, clear, commit, directory, file, read, unlink, write};
use env::{Random, SeededRandom};
use sim::weather::Weather;
use std::time::Duration;
use types::FileId;

/// Appends `parts` of `length` bytes, each made durable on its own.
async fn appended(real: &Real, file: FileId, parts: u64, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for i in 0..parts {
        let data = vec![i as u8 | 1; length];
        write(real, file, all.len() as u64, &data).await.unwrap();
        commit(real, file).await.unwrap();
        all.extend(data);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_log_of_small_writes_becomes_a_few_extents() {
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let log = file(&real, top, "log").await;
    let data = appended(&real, log, 3000, 100).await;
    let before = attr(&real, log).await.unwrap();
    // What fits an inode goes there; all else waits.
    assert_eq!(real.taken().await.unwrap().unfolded, 300_000);
    assert_eq!(rig.stripes.count(), 0);
    rig.audit_of(&real).await;
    real.fold(Duration::ZERO).await.unwrap();
    rig.audit_of(&real).await;
    assert_eq!(attr(&real, log).await.unwrap(), before);
    assert!(read(&real, log, 0, 1 << 20).await == data[..]);
    let left = real.taken().await.unwrap().unfolded;
    assert!(left < 4096, "{left} bytes are left");
    assert!((5..=6).contains(&rig.stripes.count()), "{:?}", rig.stripes.ids());
    assert_eq!(real.background().folded, 300_000 - left);
    // A new life sums up the same.
    drop(real);
    let (real, _) = rig.start().await;
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn many_files_share_a_stripe() {
    let mut rig = Rig::new(256 << 10);
    let (real, top) = rig.start().await;
    let dir = directory(&real, top, "dir").await;
    let mut files = Vec::new();
    for i in 0..40usize {
        let one = file(&real, dir, &format!("f{i}")).await;
        let data = vec![i as u8; 4200 + 100 * i];
        write(&real, one, 0, &data).await.unwrap();
        commit(&real, one).await.unwrap();
        files.push((one, data));
    }
    // Left alone, it is done when they have been quiet for a while.
    tokio::time::sleep(rig.options.fold_age / 2).await;
    assert_eq!(rig.stripes.count(), 0, "they have just changed");
    tokio::time::sleep(rig.options.fold_age * 2).await;
    assert_eq!(rig.stripes.count(), 1);
    assert_eq!(real.taken().await.unwrap().unfolded, 0);
    for (one, data) in &files {
        assert!(read(&real, *one, 0, 1 << 20).await == data[..]);
    }
    rig.audit_of(&real).await;
    // All but one go: the stripe stays for its sake, with what is dead in it.
    for i in 1..40 {
        unlink(&real, dir, &format!("f{i}")).await.unwrap();
    }
    let dead: usize = files[1..].iter().map(|(_, data)| data.len()).sum();
    assert_eq!(real.taken().await.unwrap().dead, dead as u64);
    assert!(read(&real, files[0].0, 0, 1 << 20).await == files[0].1[..]);
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_written_all_the_time_is_folded_only_when_much_of_it_waits() {
    let mut rig = Rig::new(64 << 10);
    rig.options.clean_period = Duration::from_secs(86_400);
    rig.options.fold_bytes = 100_000;
    let (real, top) = rig.start().await;
    let hot = file(&real, top, "hot").await;
    write(&real, hot, 0, &[9; 20_000]).await.unwrap();
    commit(&real, hot).await.unwrap();
    let stripes = rig.stripes.count();
    for i in 0..100u64 {
        write(&real, hot, (i % 4) * 4096, &[i as u8; 4096]).await.unwrap();
        commit(&real, hot).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(rig.stripes.count(), stripes, "it changes all the time");
    }
    let log = file(&real, top, "log").await;
    let mut at = 0;
    for _ in 0..100 {
        write(&real, log, at, &[1; 8000]).await.unwrap();
        commit(&real, log).await.unwrap();
        at += 8000;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(real.taken().await.unwrap().unfolded < 150_000);
    }
    assert!(real.background().folded > 600_000);
    rig.audit_of(&real).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_drive_leaves_small_writes_where_they_are() {
    let mut rig = Rig::new(64 << 10);
    rig.stripes = rig.stripes.of_size(100_000);
    let (real, top) = rig.start().await;
    let small = file(&real, top, "small").await;
    let data = appended(&real, small, 8, 6000).await;
    // Nobody's, so that nobody frees it.
    let other = types::StripeId(1 << 40);
    rig.stripes.plant(other, vec![1; 90_000].into());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(real.taken().await.unwrap().unfolded, 48_000);
    assert!(read(&real, small, 0, 1 << 20).await == data[..]);
    rig.audit_of(&real).await;
    // Pieces of what is free: shorter stripes.
    rig.stripes.lose(other);
    rig.stripes.narrow(20_000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(real.taken().await.unwrap().unfolded, 0);
    assert!(rig.stripes.ids().values().all(|&length| length <= 20_000));
    assert!(read(&real, small, 0, 1 << 20).await == data[..]);
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Crashes at any moment of folding: what was durable is there, and nothing is left over.
#[tokio::test(start_paused = true)]
async fn a_crash_while_folding_loses_and_leaves_nothing() {
    let mut cut = 0;
    for seed in 0..60 {
        let mut rig = Rig::in_weather(16 << 10, &Weather::delaying(seed, 60));
        let random = SeededRandom::new(seed);
        let (mut real, top) = rig.start().await;
        let mut files = Vec::new();
        for i in 0..6 {
            let one = file(&real, top, &format!("f{i}")).await;
            let data = appended(&real, one, 3, 2000 + 100 * i).await;
            files.push((one, data));
        }
        for _ in 0..3 {
            let patience = Duration::from_micros(random.next() % 12_000);
            let folding = tokio::time::timeout(patience, real.fold(Duration::ZERO)).await;
            cut += u64::from(folding.is_err());
            drop(real);
            real = rig.start().await.0;
            rig.audit_of(&real).await;
            for (one, data) in &files {
                assert!(read(&real, *one, 0, 1 << 20).await == data[..], "seed {seed}");
            }
        }
        clear(&real, top).await;
        drop(real);
        let (_real, _) = rig.start().await;
        rig.must_be_empty().await;
    }
    assert!(cut > 60, "only {cut} were cut off");
}
