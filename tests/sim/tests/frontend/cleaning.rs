//! Stripes that are needed in small part give their space back, and nobody sees it happen.

use crate::rig::{Real, Rig, attr, clear, commit, directory, file, read, root, truncate, unlink, write};
use env::{Random, SeededRandom};
use sim::weather::Weather;
use std::time::Duration;
use types::{Attr, FileId};
use vfs::{CloneRange, Vfs};

const STRIPE: usize = 64 << 10;

/// A file of so many stripes, and what is in it.
async fn long(real: &Real, dir: FileId, text: &str, stripes: usize) -> (FileId, Vec<u8>) {
    let one = file(real, dir, text).await;
    let data: Vec<u8> = (0..stripes * STRIPE).map(|i| (i ^ (i >> 8)) as u8).collect();
    for (n, part) in data.chunks(1 << 20).enumerate() {
        write(real, one, (n << 20) as u64, part).await.unwrap();
    }
    commit(real, one).await.unwrap();
    (one, data)
}

/// Overwrites most of each stripe, but not all, in stripes of its own.
async fn wear(real: &Real, one: FileId, data: &mut [u8], byte: u8) {
    for start in (0..data.len()).step_by(STRIPE) {
        let range = start + 5_000..start + STRIPE - 9_000;
        data[range.clone()].fill(byte);
        write(real, one, range.start as u64, &data[range]).await.unwrap();
    }
    commit(real, one).await.unwrap();
}

async fn must_be(real: &Real, one: FileId, data: &[u8], before: &Attr) {
    assert_eq!(attr(real, one).await.unwrap(), *before);
    for (n, part) in data.chunks(1 << 20).enumerate() {
        assert!(read(real, one, (n << 20) as u64, 1 << 20).await == part, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_mostly_overwritten_gives_its_space_back() {
    let mut rig = Rig::new(STRIPE);
    rig.options.clean_period = Duration::from_secs(20);
    let (real, top) = rig.start().await;
    let dir = directory(&real, top, "dir").await;
    let (one, mut data) = long(&real, dir, "one", 40).await;
    assert_eq!(rig.stripes.count(), 40);
    wear(&real, one, &mut data, 7).await;
    let before = attr(&real, one).await.unwrap();
    // The pieces live on, though most of their bytes do not.
    assert_eq!(rig.stripes.count(), 40 + 32);
    tokio::time::sleep(rig.options.clean_period * 3).await;
    // 14,000 of 65,536 bytes of each of the old ones, in full stripes.
    assert!(rig.stripes.count() <= 32 + 10, "{}", rig.stripes.count());
    must_be(&real, one, &data, &before).await;
    let cleaned = real.background().cleaned;
    assert_eq!(cleaned, 40 * 14_000);
    rig.audit_of(&real).await;
    // Nothing is left to do, however often it looks.
    tokio::time::sleep(rig.options.clean_period * 10).await;
    real.clean().await.unwrap();
    assert_eq!(real.background().cleaned, cleaned);
    // A file that goes takes along what was moved.
    unlink(&real, dir, "one").await.unwrap();
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// To move what a clone keeps where it is would only take more space, for good.
#[tokio::test(start_paused = true)]
async fn what_a_clone_in_another_slot_keeps_is_not_moved() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let (a, b) = (directory(&real, top, "a").await, directory(&real, top, "b").await);
    assert_ne!(a.ino.slot(), b.ino.slot());
    let (one, mut data) = long(&real, a, "one", 20).await;
    let to = file(&real, b, "copy").await;
    // Half of the stripes, and of one of them not all bytes.
    let length = (10 * STRIPE - 8192) as u64;
    let (from_open, to_open, from_offset, to_offset) = (None, None, 0, 0);
    let clone = CloneRange { from: one, from_open, from_offset, to, to_open, to_offset, length };
    real.clone_range(&root(), clone).await.unwrap();
    let copied = data[..length as usize].to_vec();
    wear(&real, one, &mut data, 7).await;
    real.clean().await.unwrap();
    assert_eq!(real.background().cleaned, 10 * 14_000);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(rig.stripes.count() <= 10 + 16 + 3, "{}", rig.stripes.count());
    // They can go as soon as the clone is gone.
    assert!(read(&real, to, 0, 1 << 20).await == copied[..]);
    unlink(&real, b, "copy").await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    real.clean().await.unwrap();
    assert_eq!(real.background().cleaned, 20 * 14_000);
    must_be(&real, one, &data, &attr(&real, one).await.unwrap()).await;
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn where_free_space_is_scattered_it_is_cleaned_into_shorter_stripes() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let (one, mut data) = long(&real, top, "one", 12).await;
    wear(&real, one, &mut data, 7).await;
    // Each old stripe has 5,000 and 9,000 bytes left.
    for (narrow, cleaned) in [(8_000, 0), (9_500, 12 * 14_000)] {
        rig.stripes.narrow(narrow);
        real.clean().await.unwrap();
        assert_eq!(real.background().cleaned, cleaned);
    }
    must_be(&real, one, &data, &attr(&real, one).await.unwrap()).await;
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// A stripe that cannot be read now.
#[tokio::test(start_paused = true)]
async fn a_slot_that_cannot_be_cleaned_does_not_stand_in_the_way_of_others() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let mut files = Vec::new();
    for n in 0..4 {
        let dir = directory(&real, top, &format!("d{n}")).await;
        let (one, mut data) = long(&real, dir, "one", 12).await;
        wear(&real, one, &mut data, n).await;
        files.push((dir.ino.slot(), one, data));
    }
    files.sort_by_key(|(slot, ..)| *slot);
    let slot = files[0].0;
    let of_first = |id: &types::StripeId| types::InodeId(id.0).slot() == slot;
    rig.stripes.ids().into_keys().filter(of_first).for_each(|stripe| rig.stripes.keep_away(stripe));
    tokio::time::sleep(rig.options.clean_period * 3).await;
    assert_eq!(real.background().cleaned, 3 * 12 * 14_000);
    rig.stripes.all_are_back();
    tokio::time::sleep(rig.options.clean_period * 10).await;
    assert_eq!(real.background().cleaned, 4 * 12 * 14_000);
    for (_, one, data) in &files {
        must_be(&real, *one, data, &attr(&real, *one).await.unwrap()).await;
    }
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_drive_is_cleaned() {
    let mut rig = Rig::new(STRIPE);
    rig.stripes = rig.stripes.of_size(100 * (68 << 10));
    let (real, top) = rig.start().await;
    let mut files = Vec::new();
    for n in 0..5 {
        files.push(long(&real, top, &format!("f{n}"), 16).await);
    }
    for (one, data) in &mut files {
        // All but the beginning goes.
        let size = data.len() - 16 * STRIPE + 3000;
        truncate(&real, *one, size as u64).await.unwrap();
        data.truncate(size);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(rig.stripes.count() <= 5, "{}", rig.stripes.count());
    for (one, data) in &files {
        assert!(read(&real, *one, 0, 1 << 20).await == data[..]);
    }
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Garbage takes seconds to be freed; until then cleaning only takes space.
#[tokio::test(start_paused = true)]
async fn cleaning_leaves_what_was_promised() {
    const STORED: u64 = (STRIPE + 4096) as u64;
    let mut rig = Rig::new(STRIPE);
    // 50 stripes, 40 that overwrite most of them, 6 that wait, and 8 held back.
    rig.stripes = rig.stripes.of_size((50 + 40 + 6 + 8) * STORED).holding_back(8 * STORED);
    (rig.options.dirty_age, rig.options.clean_period) =
        (Duration::from_secs(3600), Duration::from_secs(3600));
    let (real, top) = rig.start().await;
    let (one, mut data) = long(&real, top, "one", 50).await;
    wear(&real, one, &mut data, 7).await;
    assert_eq!(rig.stripes.count(), 90);
    let two = file(&real, top, "two").await;
    write(&real, two, 0, &[3; 6 * STRIPE]).await.unwrap();
    let cleaning = tokio::spawn({
        let real = real.clone();
        async move { real.clean().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(real.background().cleaned > 0);
    commit(&real, two).await.unwrap();
    cleaning.await.unwrap().unwrap();
    assert_eq!(real.background().cleaned, 50 * 14_000);
    assert_eq!(real.promised(), 0);
    must_be(&real, one, &data, &attr(&real, one).await.unwrap()).await;
    rig.audit_of(&real).await;
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Crashes at any moment, while files change.
#[tokio::test(start_paused = true)]
async fn a_crash_while_cleaning_loses_and_leaves_nothing() {
    let mut cleaned = 0;
    for seed in 0..25 {
        let random = SeededRandom::new(seed);
        let mut rig = Rig::in_weather(STRIPE, &Weather::delaying(seed, 60));
        let (mut real, mut top) = rig.start().await;
        let (one, mut data) = long(&real, top, "one", 12).await;
        for round in 0..4u8 {
            wear(&real, one, &mut data, round).await;
            let cleaning = tokio::spawn({
                let real = real.clone();
                async move { real.clean().await }
            });
            let at = random.below(data.len() as u64 - 40_000);
            write(&real, one, at, &[round + 100; 40_000]).await.unwrap();
            commit(&real, one).await.unwrap();
            data[at as usize..at as usize + 40_000].fill(round + 100);
            tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
            cleaned += real.background().cleaned;
            let before = attr(&real, one).await.unwrap();
            cleaning.abort();
            drop(real);
            (real, top) = rig.start().await;
            must_be(&real, one, &data, &before).await;
            rig.audit_of(&real).await;
        }
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
    assert!(cleaned > 100_000, "only {cleaned} bytes");
}
