//! Full drives: it is the write that is told, never who asks for durability.

use crate::rig::{
    Rig, attr, clear, commit, directory, file, name, read, refused, root, truncate, unlink, write,
};
use env::{Random, SeededRandom};
use frontend::Room;
use sim::weather::Weather;
use types::{FsError, Mode, SetAttr};
use vfs::*;

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

#[tokio::test(start_paused = true)]
async fn small_writes_count_until_they_are_in_stripes() {
    let mut rig = Rig::new(64 << 10);
    // Folding has room for nothing: less is left than a stripe takes that is worth it.
    rig.stripes = rig.stripes.of_size(400_000).worth_from(200_000);
    rig.options.fold_age = std::time::Duration::from_secs(3600);
    let (real, top) = rig.start().await;
    let big = file(&real, top, "big").await;
    while write(&real, big, attr(&real, big).await.unwrap().size, &[1; 20_000]).await.is_ok() {
        commit(&real, big).await.unwrap();
    }
    truncate(&real, big, attr(&real, big).await.unwrap().size - 60_000).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;

    // As a database appends to its log.
    let log = file(&real, top, "log").await;
    let mut at = 0;
    let append = async |at: u64| write(&real, log, at, &[2; 8192]).await;
    while append(at).await.is_ok() {
        commit(&real, log).await.unwrap();
        at += 8192;
        assert!(at < 400_000, "they are taken without bound");
    }
    assert!(at > 8192, "what is free is for them, too");
    let stat = real.statfs(&root(), StatFs { fs: top.fs }).await.unwrap();
    assert_eq!(stat.free - stat.available, at);
    refused(append(at).await, FsError::NoSpace);
    assert_eq!(read(&real, log, 0, 1 << 20).await.len() as u64, at);
    // What is removed makes room; and rewriting the same takes nothing more, however often.
    truncate(&real, log, 8192).await.unwrap();
    for _ in 0..50 {
        append(8192).await.unwrap();
        commit(&real, log).await.unwrap();
    }
    clear(&real, top).await;
    rig.must_be_empty().await;
}

#[tokio::test(start_paused = true)]
async fn where_logs_and_maps_have_no_room_only_what_frees_space_is_taken() {
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let (old, kept) = (file(&real, top, "old").await, file(&real, top, "kept").await);
    let gone = directory(&real, top, "gone").await;
    file(&real, top, "third").await;
    write(&real, old, 0, &[1; 100_000]).await.unwrap();
    write(&real, kept, 0, &[2; 10]).await.unwrap();
    commit(&real, old).await.unwrap();

    rig.stripes.set_room(Room::Scarce);
    let (kind, mode, set) = (NodeKind::File, Mode(0o644), SetAttr::default());
    let new = Mknod { dir: top, name: name("new"), kind, mode, set: set.clone() };
    refused(real.mknod(&root(), new.clone()).await, FsError::NoSpace);
    refused(
        real.mkdir(&root(), Mkdir { dir: gone, name: name("new"), mode, set: set.clone() }).await,
        FsError::NoSpace,
    );
    refused(real.link(&root(), Link { file: old, dir: top, name: name("link") }).await, FsError::NoSpace);
    refused(write(&real, old, 5, &[3; 5]).await, FsError::NoSpace);
    let stat = real.statfs(&root(), StatFs { fs: top.fs }).await.unwrap();
    assert_eq!((stat.free, stat.available), (0, 0));
    // What was acknowledged before has its place.
    commit(&real, kept).await.unwrap();
    assert_eq!(read(&real, kept, 0, 20).await, vec![2; 10]);
    // As a shell empties a file.
    let create = Create { how: CreateHow::Unchecked, mode, set };
    let empty = |file: &str| Open {
        target: OpenTarget::Entry { dir: top, name: name(file) },
        access: OpenAccess { read: true, write: true },
        deny: OpenAccess { read: false, write: false },
        create: Some(create.clone()),
        truncate: true,
        reclaim: false,
        for_execution: false,
    };
    let opened = real.open(&root(), empty("old")).await.unwrap();
    assert_eq!(opened.attr.size, 0);
    refused(real.open(&root(), empty("new")).await, FsError::NoSpace);
    // As an NFS client removes a file that is open.
    let again = |from: &str, to: &str| Rename {
        from_dir: top,
        from_name: name(from),
        to_dir: top,
        to_name: name(to),
        how: RenameHow::Replace,
    };
    real.rename(&root(), again("old", ".nfs1")).await.unwrap();
    unlink(&real, top, ".nfs1").await.unwrap();
    crate::rig::close(&real, opened.open).await;
    truncate(&real, kept, 1).await.unwrap();
    real.rmdir(&root(), Rmdir { dir: top, name: name("gone") }).await.unwrap();

    rig.stripes.set_room(Room::Freeing);
    let chmod = SetAttrOf {
        file: kept,
        open: None,
        set: SetAttr { mode: Some(mode), ..SetAttr::default() },
        if_ctime: None,
    };
    refused(real.setattr(&root(), chmod.clone()).await, FsError::NoSpace);
    refused(real.rename(&root(), again("kept", "else")).await, FsError::NoSpace);
    refused(write(&real, kept, 0, &[5; 10]).await, FsError::NoSpace);
    truncate(&real, kept, 1).await.unwrap();
    unlink(&real, top, "third").await.unwrap();

    rig.stripes.set_room(Room::None);
    refused(unlink(&real, top, "kept").await, FsError::NoSpace);
    refused(truncate(&real, kept, 0).await, FsError::NoSpace);
    assert_eq!(read(&real, kept, 0, 20).await, vec![2; 1]);

    rig.stripes.set_room(Room::Ample);
    real.mknod(&root(), new).await.unwrap();
    write(&real, kept, 0, &[4; 50_000]).await.unwrap();
    commit(&real, kept).await.unwrap();
    clear(&real, top).await;
    rig.must_be_empty().await;
}
