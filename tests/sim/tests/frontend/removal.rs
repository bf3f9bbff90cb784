//! Removing filesystems: at once for everybody, in steps for the drives, whatever comes in between.

use crate::rig::{
    Real, Rig, asking, attr, clear, close, commit, directory, file, name, open, read, refused, root, unlink,
    write,
};
use env::{Random, SeededRandom};
use frontend::{RemoveError, Taken};
use sim::audit::Audit;
use sim::weather::{Mishap, Weather};
use std::time::Duration;
use types::{Cred, FileId, FsError, RequestId};
use vfs::*;

/// Bytes of one stripe here.
const STRIPE: usize = 1000;
const NAME: &str = "second";

async fn made(real: &Real) -> FileId {
    FileId::root(real.make_filesystem(NAME, &SeededRandom::new(7)).await.unwrap())
}

async fn found(real: &Real) -> FsResult<FileId> {
    real.filesystem(&root(), Filesystem { name: NAME.to_owned() }).await.map(|reply| reply.root)
}

/// Files of all kinds in many slots: small and large, cloned over slots, linked, open without a name.
async fn fill(real: &Real, top: FileId) -> Vec<FileId> {
    let mut files = Vec::new();
    for n in 0..12 {
        let dir = directory(real, top, &format!("d{n}")).await;
        let one = file(real, dir, "one").await;
        write(real, one, 0, &vec![n as u8; 700 * n]).await.unwrap();
        commit(real, one).await.unwrap();
        let set =
            SetXattr { file: one, name: name("user.x"), value: vec![1; 90].into(), how: SetXattrHow::Either };
        real.setxattr(&root(), set).await.unwrap();
        if let Some(&from) = files.get(n / 2)
            && n > 8
        {
            let clone = CloneRange { length: 100, ..CloneRange::whole(from, one) };
            let _ = real.clone_range(&root(), clone).await;
            real.link(&root(), Link { file: one, dir: top, name: name(&format!("l{n}")) }).await.unwrap();
        }
        files.push(one);
    }
    files
}

async fn taken(real: &Real) -> Taken {
    real.taken().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_is_gone_at_once_and_what_it_took_comes_back() {
    let mut rig = Rig::new(STRIPE);
    let (real, top) = rig.start().await;
    let kept = file(&real, top, "kept").await;
    write(&real, kept, 0, &[9; 20_000]).await.unwrap();
    commit(&real, kept).await.unwrap();
    let before = taken(&real).await;

    let second = made(&real).await;
    let files = fill(&real, second).await;
    let opened = open(&real, files[3]).await;
    let orphan = file(&real, second, "orphan").await;
    let of_orphan = open(&real, orphan).await;
    unlink(&real, second, "orphan").await.unwrap();
    write(&real, files[4], 0, &[5; 30_000]).await.unwrap();
    assert!(real.promised() > 0);
    // The first answer to a request, which is remembered with the filesystem.
    let ctx = asking(RequestId { client: 5, channel: 1, sequence: 1, step: 0 });
    let (mode, set) = (types::Mode(0o755), types::SetAttr::default());
    let mkdir = Mkdir { dir: second, name: name("remembered"), mode, set };
    real.mkdir(&ctx, mkdir.clone()).await.unwrap();

    let opens = Err(RemoveError::Open(2));
    assert_eq!(real.remove_filesystem(second.fs, false, false).await, opens, "it is in use");
    assert_eq!(attr(&real, files[3]).await.unwrap().size, 2100, "nothing has happened");
    real.remove_filesystem(second.fs, true, false).await.unwrap();

    refused(found(&real).await, FsError::NotFound);
    refused(attr(&real, second).await, FsError::Stale);
    refused(write(&real, files[4], 0, &[1; 10]).await, FsError::Stale);
    let data = bytes::Bytes::from_static(b"late");
    let (offset, durability) = (WriteOffset::At(0), Durability::Unstable);
    let late = Write { file: files[3], open: Some(opened), offset, data, durability };
    refused(real.write(&root(), late).await, FsError::Stale);
    let late = Read { file: orphan, open: Some(of_orphan), offset: 0, length: 10 };
    refused(real.read(&root(), late).await, FsError::Stale);
    refused(commit(&real, files[4]).await, FsError::Stale);
    refused(real.mkdir(&ctx, mkdir).await, FsError::Stale);
    refused(real.statfs(&root(), StatFs { fs: second.fs }).await, FsError::Stale);
    assert_eq!(real.promised(), 0, "nothing waits to be written");
    assert_eq!(real.remove_filesystem(second.fs, true, false).await, Err(FsError::NotFound.into()));
    let going = real.removals().await.unwrap();
    assert_eq!((going[0].fs, going[0].name.as_str()), (second.fs, NAME));
    close(&real, opened).await;
    close(&real, of_orphan).await;

    // The name is free for another one, which has nothing of the former.
    let third = made(&real).await;
    assert!(third.fs > second.fs);
    fill(&real, third).await;
    while !real.removals().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rig.audit_of(&real).await;
    }
    assert_eq!(read(&real, kept, 0, 30_000).await, vec![9; 20_000]);
    clear(&real, third).await;
    real.remove_filesystem(third.fs, false, false).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(taken(&real).await, before, "as if it had never been");
    assert_eq!(real.check_accounts().await.unwrap().differences, 0);
    clear(&real, top).await;
    rig.must_be_empty().await;
}

/// Clients work on it all the while, replies get lost, and it crashes at any moment.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_changes_nothing_of_that() {
    let (mut undone, mut halfway) = (0, 0);
    for seed in 0..8 {
        let random = SeededRandom::new(seed);
        let weather = Weather::delaying(seed, 30);
        let mut rig = Rig::of_seed(seed, STRIPE, &weather);
        rig.options.grace = Duration::from_millis(50);
        rig.fold_at_once();
        let (mut real, _) = rig.start().await;
        let second = made(&real).await;
        let files = fill(&real, second).await;
        weather.set(Mishap::Reply, 5);
        weather.set(Mishap::Command, 5);
        weather.set(Mishap::Free, 20);
        // What removing takes in all, about; then the rest undisturbed.
        let mut acknowledged = false;
        for life in 0..8 {
            let remover = tokio::spawn({
                let real = real.clone();
                async move { real.remove_filesystem(second.fs, true, false).await }
            });
            let workers: Vec<_> = (0..4)
                .map(|n| tokio::spawn(work(real.clone(), second, files.clone(), seed * 100 + life * 10 + n)))
                .collect();
            tokio::time::sleep(Duration::from_micros(random.below(if life < 3 { 3_000 } else { 30_000 })))
                .await;
            acknowledged |= remover.is_finished() && remover.await.unwrap().is_ok();
            workers.iter().for_each(tokio::task::JoinHandle::abort);
            (real, _) = rig.start().await;
            rig.audit().await;
            halfway += usize::from(
                real.removals().await.unwrap().iter().any(|left| left.inodes > 0 || left.stored > 0),
            );
            match found(&real).await {
                Ok(_) => undone += 1,
                Err(error) => {
                    assert_eq!(error, FsError::NotFound, "seed {seed}");
                    acknowledged = true;
                }
            }
            assert!(!acknowledged || found(&real).await.is_err(), "seed {seed}: it has come back");
            if acknowledged {
                refused(attr(&real, files[5]).await, FsError::Stale);
            }
        }
        for mishap in [Mishap::Reply, Mishap::Command, Mishap::Free] {
            weather.set(mishap, 0);
        }
        let (real, top) = rig.start().await;
        match real.remove_filesystem(second.fs, true, false).await {
            Ok(()) | Err(RemoveError::Fs(FsError::NotFound)) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(real.removals().await.unwrap(), [], "seed {seed}");
        rig.audit_of(&real).await;
        clear(&real, top).await;
        rig.must_be_empty().await;
        let map = rig.shards.recovered().await.unwrap();
        assert_eq!(Audit::read(&map).unwrap().remains(), [], "seed {seed}");
    }
    assert!(undone > 0 && halfway > 8, "{undone} {halfway}");
}

/// Changes that are on their way when the filesystem goes.
async fn work(real: Real, top: FileId, files: Vec<FileId>, seed: u64) {
    let random = SeededRandom::new(seed);
    let cred = || Ctx::new(Cred::root());
    for n in 0..1000 {
        let one = files[random.below(files.len() as u64) as usize];
        let other = files[random.below(files.len() as u64) as usize];
        let _ = match random.below(6) {
            0 => {
                let (mode, set) = (types::Mode(0o755), types::SetAttr::default());
                let dir = Mkdir { dir: top, name: name(&format!("w{seed}-{n}")), mode, set };
                real.mkdir(&cred(), dir).await.map(drop)
            }
            1 => {
                let _ = write(&real, one, random.below(3000), &vec![n as u8; 3000]).await;
                commit(&real, one).await.map(drop)
            }
            2 => {
                let (from_open, to_open, from_offset, to_offset) = (None, None, 0, 0);
                let clone = CloneRange {
                    from: one,
                    from_open,
                    from_offset,
                    to: other,
                    to_open,
                    to_offset,
                    length: 500,
                };
                real.clone_range(&cred(), clone).await
            }
            3 => {
                let link = Link { file: one, dir: top, name: name(&format!("l{seed}-{n}")) };
                real.link(&cred(), link).await.map(drop)
            }
            4 => crate::rig::truncate(&real, one, random.below(2000)).await.map(drop),
            _ => unlink(&real, top, &format!("w{seed}-{}", random.below(100))).await.map(drop),
        };
        tokio::task::yield_now().await;
    }
}
