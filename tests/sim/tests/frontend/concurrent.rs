//! Many tasks on one tree, by turns that a seed decides.

use crate::rig::{BOTH, NONE, Real, Rig, clear, commit, directory, file, name, read, root, write};
use bytes::Bytes;
use env::{Random, SeededRandom};
use sim::weather::Weather;
use std::time::Duration;
use types::{FileId, FsError, Mode, SetAttr};
use vfs::*;

const TASKS: u64 = 6;
const STEPS: u64 = 120;

/// One of few names, so that tasks meet.
fn some_name(random: &SeededRandom) -> types::Name {
    name(["a", "b", "c", "d"][(random.next() % 4) as usize])
}

async fn opened(real: &Real, ctx: &Ctx, dir: FileId, random: &SeededRandom) -> FsResult<OpenReply> {
    let how = if random.next().is_multiple_of(3) { CreateHow::Guarded } else { CreateHow::Unchecked };
    let create = Some(Create { how, mode: Mode(0o644), set: SetAttr::default() });
    let target = OpenTarget::Entry { dir, name: some_name(random) };
    let truncate = random.next().is_multiple_of(4);
    let (reclaim, for_execution) = (false, false);
    real.open(ctx, Open { target, access: BOTH, deny: NONE, create, truncate, reclaim, for_execution }).await
}

/// Works through an open, and expects to see it alive however its names go.
async fn through_open(real: &Real, ctx: &Ctx, dir: FileId, random: &SeededRandom) -> FsResult<()> {
    let opened = opened(real, ctx, dir, random).await?;
    let (file, open) = (opened.attr.file, Some(opened.open));
    let length = 1 + random.next() % 9000;
    let data = Bytes::from(vec![7; length as usize]);
    let offset = WriteOffset::At(random.next() % 20_000);
    let durability = if random.next().is_multiple_of(2) { Durability::File } else { Durability::Unstable };
    let written = real.write(ctx, Write { file, open, offset, data, durability }).await;
    let seen = real.getattr(ctx, GetAttr { file }).await;
    let got = real.read(ctx, Read { file, open, offset: 0, length: 30_000 }).await;
    real.close(ctx, Close { open: opened.open }).await.unwrap();
    written.unwrap();
    seen.unwrap();
    assert!(got.unwrap().data.iter().all(|byte| *byte == 0 || *byte == 7));
    Ok(())
}

async fn task(real: Real, dirs: [FileId; 2], seed: u64) {
    let random = SeededRandom::new(seed);
    let ctx = Ctx { client: ClientId(u128::from(seed)), ..root() };
    for _ in 0..STEPS {
        let (dir, other) = (dirs[(random.next() % 2) as usize], dirs[(random.next() % 2) as usize]);
        let (from, to) = (some_name(&random), some_name(&random));
        let result = match random.next() % 9 {
            0..3 => through_open(&real, &ctx, dir, &random).await,
            3 => real.unlink(&ctx, Unlink { dir, name: from }).await.map(drop),
            4 => real.rmdir(&ctx, Rmdir { dir, name: from }).await.map(drop),
            5 => {
                let how = [RenameHow::Replace, RenameHow::Exchange][(random.next() % 2) as usize];
                let request = Rename { from_dir: dir, from_name: from, to_dir: other, to_name: to, how };
                real.rename(&ctx, request).await.map(drop)
            }
            6 => match real.lookup(&ctx, Lookup { dir, name: from }).await {
                Ok(found) => {
                    let request = Link { file: found.attr.file, dir: other, name: to };
                    real.link(&ctx, request).await.map(drop)
                }
                Err(error) => Err(error),
            },
            7 => {
                let request = Mkdir { dir, name: from, mode: Mode(0o755), set: SetAttr::default() };
                real.mkdir(&ctx, request).await.map(drop)
            }
            _ => match real.lookup(&ctx, Lookup { dir, name: from }).await {
                Ok(found) => {
                    let set = SetAttr { size: Some(random.next() % 20_000), ..SetAttr::default() };
                    let request = SetAttrOf { file: found.attr.file, open: None, set, if_ctime: None };
                    real.setattr(&ctx, request).await.map(drop)
                }
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(()) => {}
            Err(error) => assert!(
                !matches!(
                    error,
                    FsError::Io | FsError::Delay | FsError::Uncertain | FsError::BadOpen | FsError::NoSpace
                ),
                "{error:?}"
            ),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_meet_leave_the_tree_in_order() {
    for seed in 0..12 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 30));
        rig.options.dirty_age = Duration::from_millis(10);
        rig.options.dirty_bytes_max = 60_000;
        let (real, top) = rig.start().await;
        let dirs = [directory(&real, top, "one").await, directory(&real, top, "two").await];
        let tasks: Vec<_> =
            (0..TASKS).map(|i| tokio::spawn(task(real.clone(), dirs, seed * 100 + i))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        rig.audit().await;
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}

/// A write that was acknowledged is in every later answer, whatever write-back does meanwhile.
#[tokio::test(start_paused = true)]
async fn what_was_written_never_disappears_and_change_never_falls() {
    for seed in 0..10 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 40));
        rig.options.dirty_age = Duration::from_millis(3);
        let (real, top) = rig.start().await;
        let one = file(&real, top, "one").await;
        let random = SeededRandom::new(seed);
        let (mut size, mut change) = (0, 0);
        for i in 0..200u64 {
            let data = vec![i as u8; 1 + (random.next() % 3000) as usize];
            write(&real, one, size, &data).await.unwrap();
            size += data.len() as u64;
            let lookup = Lookup { dir: top, name: name("one") };
            let attr = match random.next() % 4 {
                0 => real.lookup(&root(), lookup).await.unwrap().attr,
                1 => real.getattr(&root(), GetAttr { file: one }).await.unwrap().attr,
                2 => {
                    let name = name(&format!("one{i}"));
                    real.link(&root(), Link { file: one, dir: top, name }).await.unwrap().attr
                }
                _ => {
                    let request = ReadDir { dir: top, after: types::Cookie::START, limit: 10, attrs: true };
                    let entries = real.readdir(&root(), request).await.unwrap().entries;
                    entries[0].attr.clone().unwrap()
                }
            };
            assert_eq!(attr.size, size);
            assert!(attr.change > change, "{} after {change}", attr.change);
            change = attr.change;
            assert!(read(&real, one, size - data.len() as u64, 4000).await == data[..]);
            tokio::time::sleep(Duration::from_micros(random.next() % 4000)).await;
        }
        commit(&real, one).await.unwrap();
        let attr = real.getattr(&root(), GetAttr { file: one }).await.unwrap().attr;
        assert_eq!((attr.size, attr.change), (size, change), "durability changes nothing");
        rig.audit().await;
    }
}

/// Who gives up in the middle of an operation leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn callers_that_give_up_lose_nothing_and_leave_nothing() {
    for seed in 0..40 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 70));
        let (real, top) = rig.start().await;
        let random = SeededRandom::new(seed);
        let one = file(&real, top, "one").await;
        let data = vec![5; 30_000];
        write(&real, one, 0, &data).await.unwrap();
        let patience = Duration::from_micros(random.next() % 8000);
        drop(tokio::time::timeout(patience, commit(&real, one)).await);
        assert!(read(&real, one, 0, 1 << 20).await == data[..]);
        commit(&real, one).await.unwrap();
        assert!(read(&real, one, 0, 1 << 20).await == data[..]);
        let held = crate::rig::open(&real, one).await;
        let patience = Duration::from_micros(random.next() % 4000);
        drop(tokio::time::timeout(patience, crate::rig::unlink(&real, top, "one")).await);
        let patience = Duration::from_micros(random.next() % 4000);
        drop(tokio::time::timeout(patience, real.close(&root(), Close { open: held })).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(crate::rig::unlink(&real, top, "one").await);
        rig.must_be_empty().await;
    }
}

/// Makes and opens a file of which others may remove the name at once.
async fn made_and_opened(real: Real, top: FileId) -> FileId {
    let create = Some(Create { how: CreateHow::Guarded, mode: Mode(0o644), set: SetAttr::default() });
    let target = OpenTarget::Entry { dir: top, name: name("lock") };
    let (truncate, reclaim, for_execution) = (false, false, false);
    let request = Open { target, access: BOTH, deny: NONE, create, truncate, reclaim, for_execution };
    let opened = real.open(&root(), request).await.unwrap();
    let file = opened.attr.file;
    assert_eq!(real.getattr(&root(), GetAttr { file }).await.unwrap().attr.file, file);
    real.close(&root(), Close { open: opened.open }).await.unwrap();
    file
}

#[tokio::test(start_paused = true)]
async fn who_makes_a_file_has_it_also_when_its_name_goes_at_once() {
    for seed in 0..60 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 40));
        let (real, top) = rig.start().await;
        file(&real, top, "other").await;
        let maker = tokio::spawn(made_and_opened(real.clone(), top));
        let seen = loop {
            match real.lookup(&root(), Lookup { dir: top, name: name("lock") }).await {
                Ok(found) => break found.attr.file,
                Err(_) => tokio::time::sleep(Duration::from_micros(50)).await,
            }
        };
        if seed % 2 == 0 {
            crate::rig::unlink(&real, top, "lock").await.unwrap();
        } else {
            let (from_name, to_name, how) = (name("other"), name("lock"), RenameHow::Replace);
            let request = Rename { from_dir: top, from_name, to_dir: top, to_name, how };
            real.rename(&root(), request).await.unwrap();
        }
        assert_eq!(maker.await.unwrap(), seen, "a second file was made in the place of the first");
        clear(&real, top).await;
        rig.must_be_empty().await;
    }
}
