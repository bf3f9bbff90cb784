//! A client finds its way back after the server has gone down and come up.

use crate::client::*;
use model::Model;
use nfs_wire::*;
use std::sync::Arc;
use std::time::Duration;

fn reclaim(owner: &'static str) -> Args {
    let claim = OpenClaim::Previous(0);
    Args::Open(OpenArgs { how: OpenHow::NoCreate(()), claim, ..open_args("", owner, 3, 0) })
}

#[tokio::test]
async fn opens_and_locks_are_reclaimed_in_grace_and_only_then() {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    assert!(client.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    first.stop().await;
    model.restart();

    let second = start(&model, config(2)).await;
    let (session, sequence, clientid) = (client.session, client.sequence, client.clientid);
    let mut client = Client::connect(second.address).await;
    (client.session, client.sequence, client.clientid) = (session, sequence, clientid);
    assert_eq!(client.run(vec![Args::Putrootfh(())]).await, [Err(Status::DeadSession)]);
    assert_eq!(client.create_session(2).await, Err(Status::StaleClientId));
    client.introduce("a", 1).await;

    assert_eq!(client.on(&file, read(open, 0, 1)).await, Err(Status::BadStateId));
    assert_eq!(client.at(&[], vec![Args::Open(open_args("g", "o", 3, 0))]).await, Err(Status::Grace));
    let Ok(Reply::Open(reclaimed)) = client.on(&file, reclaim("o")).await else { panic!() };
    assert_eq!(
        client.on(&file, lock(reclaimed.stateid, "l", LockType::Write, 0, 10)).await,
        Err(Status::Grace)
    );
    let Args::Lock(args) = lock(reclaimed.stateid, "l", LockType::Write, 0, 10) else { panic!() };
    let locked = client.on(&file, Args::Lock(LockArgs { reclaim: true, ..args })).await;
    assert!(matches!(locked, Ok(Reply::Lock(LockOutcome::Granted(_)))), "{locked:?}");
    let complete = Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false });
    assert!(client.run(vec![complete.clone()]).await[0].is_ok());
    assert_eq!(client.run(vec![complete]).await, [Err(Status::CompleteAlready)]);
    assert_eq!(client.on(&file, reclaim("p")).await, Err(Status::NoGrace));

    let mut other = Client::new(second.address, "b").await;
    let (same, open) = other.open("f", "o").await;
    assert_eq!(same, file);
    let denied = other.on(&file, lock(open, "l", LockType::Write, 5, 1)).await;
    let Ok(Reply::Lock(LockOutcome::Denied(denied))) = denied else { panic!("{denied:?}") };
    assert_eq!((denied.offset, denied.length, &denied.owner.owner[..]), (0, 10, &b"l"[..]));
    assert_eq!(other.on(&file, reclaim("o")).await, Err(Status::NoGrace));
    second.stop().await;
}

#[tokio::test]
async fn what_is_removed_while_open_stays_as_promised() {
    const PRESERVE_UNLINKED: u32 = 8;
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    let ops = [walk(&[]), vec![Args::Open(open_args("f", "o", 3, 0)), Args::Getfh(())]].concat();
    let outcomes = client.run(ops).await;
    let [.., Ok(Reply::Open(open)), Ok(Reply::Getfh(handle))] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(open.rflags & PRESERVE_UNLINKED, PRESERVE_UNLINKED);
    let file = handle.object.clone();
    assert!(client.on(&file, write(open.stateid, 0, b"kept")).await.is_ok());
    let remove = Args::Remove(RemoveArgs { target: component("f") });
    assert!(client.at(&[], vec![remove]).await.is_ok());
    first.stop().await;
    model.restart();

    let second = start(&model, config(2)).await;
    let mut client = Client::connect(second.address).await;
    client.introduce("a", 1).await;
    let Ok(Reply::Open(open)) = client.on(&file, reclaim("o")).await else { panic!() };
    assert!(client.run(vec![complete()]).await[0].is_ok());
    let Ok(Reply::Read(read)) = client.on(&file, read(open.stateid, 0, 10)).await else { panic!() };
    assert_eq!(&read.data[..], b"kept");
    let links = attributes(client.on(&file, getattr(&[attr::NUMLINKS])).await).numlinks;
    assert_eq!(links, Some(0));
    second.stop().await;
}

#[tokio::test]
async fn lost_unstable_writes_show_in_the_verifier() {
    let model = Arc::new(Model::new().losing_unstable_writes());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    let Args::Write(args) = write(open, 0, b"lost") else { panic!() };
    let unstable = Args::Write(WriteArgs { stable: StableHow::Unstable, ..args });
    let Ok(Reply::Write(written)) = client.on(&file, unstable).await else { panic!() };
    let commit = Args::Commit(CommitArgs { offset: 0, count: 0 });
    first.stop().await;
    model.restart();
    model.end_grace();
    let second = start(&model, config(2)).await;
    let mut client = Client::new(second.address, "a").await;
    let Ok(Reply::Commit(committed)) = client.on(&file, commit).await else { panic!() };
    assert_ne!(committed.verifier, written.verifier);
    second.stop().await;
}

/// LOCK by who has the open, as a claim.
fn reclaim_lock(open: Stateid) -> Args {
    let Args::Lock(args) = lock(open, "l", LockType::Write, 0, 10) else { panic!() };
    Args::Lock(LockArgs { reclaim: true, ..args })
}

fn complete() -> Args {
    Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })
}

#[tokio::test]
async fn without_anybody_who_had_something_there_is_no_grace() {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    assert!(client.at(&[], vec![mkdir("d")]).await.is_ok());
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;
    let mut client = Client::new(second.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    assert!(client.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    second.stop().await;
}

#[tokio::test]
async fn claims_stand_until_they_are_made_and_only_of_who_had_something() {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut holder = Client::new(first.address, "holder").await;
    let (file, open) = holder.open("f", "o").await;
    assert!(holder.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    let mut denier = Client::new(first.address, "denier").await;
    assert!(denier.at(&[], vec![Args::Open(open_args("g", "o", 1, 2))]).await.is_ok());
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;

    let mut stranger = Client::connect(second.address).await;
    stranger.introduce("stranger", 1).await;
    assert_eq!(stranger.on(&file, reclaim("o")).await, Err(Status::NoGrace));
    let plain = |name, access, deny| Args::Open(open_args(name, "s", access, deny));
    assert_eq!(
        stranger.at(&[], vec![plain("f", 3, 0)]).await,
        Err(Status::Grace),
        "its own claims come first"
    );
    assert!(stranger.run(vec![complete()]).await[0].is_ok());
    assert_eq!(stranger.at(&[], vec![plain("f", 3, 0)]).await, Err(Status::Grace), "it could be denied");
    assert_eq!(stranger.at(&["f"], vec![read(Stateid::ANONYMOUS, 0, 1)]).await, Err(Status::Grace));

    // The denier's machine has restarted meanwhile: it has nothing any more, and nobody waits for it.
    let mut denier = Client::connect(second.address).await;
    denier.introduce("denier", 2).await;
    assert_eq!(denier.on(&file, reclaim("o")).await, Err(Status::NoGrace));
    let Ok(Reply::Open(opened)) = stranger.at(&[], vec![plain("f", 3, 0)]).await else { panic!() };
    let locked = stranger.on(&file, lock(opened.stateid, "s", LockType::Write, 20, 1)).await;
    assert_eq!(locked, Err(Status::Grace), "it could be claimed");

    let mut holder = Client::connect(second.address).await;
    holder.introduce("holder", 1).await;
    let Ok(Reply::Open(reclaimed)) = holder.on(&file, reclaim("o")).await else { panic!() };
    let new = holder.on(&file, lock(reclaimed.stateid, "l", LockType::Write, 50, 1)).await;
    assert_eq!(new, Err(Status::Grace), "its own claims come first");
    assert!(holder.on(&file, reclaim_lock(reclaimed.stateid)).await.is_ok());
    assert!(holder.run(vec![complete()]).await[0].is_ok());
    assert_eq!(holder.on(&file, reclaim_lock(reclaimed.stateid)).await, Err(Status::NoGrace));

    let locked = stranger.on(&file, lock(opened.stateid, "s", LockType::Write, 20, 1)).await;
    assert!(matches!(locked, Ok(Reply::Lock(LockOutcome::Granted(_)))), "{locked:?}");
    let denied = stranger.on(&file, lock(opened.stateid, "t", LockType::Write, 5, 1)).await;
    assert!(matches!(denied, Ok(Reply::Lock(LockOutcome::Denied(_)))), "{denied:?}");
    second.stop().await;
}

#[tokio::test]
async fn claims_that_meet_are_told_so() {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let (mut a, mut b) = (Client::new(first.address, "a").await, Client::new(first.address, "b").await);
    let (file, open) = a.open("f", "o").await;
    assert!(a.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    let (other, open) = b.open("g", "o").await;
    assert!(b.on(&other, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    assert!(b.at(&[], vec![Args::Open(open_args("h", "o", 1, 1))]).await.is_ok());
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;
    let (mut a, mut b) = (Client::connect(second.address).await, Client::connect(second.address).await);
    a.introduce("a", 1).await;
    b.introduce("b", 1).await;
    let Ok(Reply::Open(of_a)) = a.on(&file, reclaim("o")).await else { panic!() };
    assert!(a.on(&file, reclaim_lock(of_a.stateid)).await.is_ok());
    // A client that claims what it never had.
    let Ok(Reply::Open(of_b)) = b.on(&file, reclaim("o")).await else { panic!() };
    assert_eq!(b.on(&file, reclaim_lock(of_b.stateid)).await, Err(Status::ReclaimConflict));
    let Args::Open(denying) = reclaim("p") else { panic!() };
    let denying = Args::Open(OpenArgs { share_deny: 3, ..denying });
    assert_eq!(b.on(&file, denying).await, Err(Status::ReclaimConflict));
    second.stop().await;
}

/// The edge conditions of RFC 8881 section 8.4.3: a lock that was given up must not be claimed over its next holder.
#[tokio::test]
async fn a_lease_that_ran_out_is_not_revived_by_a_restart() {
    let model = Arc::new(Model::new());
    let mut short = config(1);
    short.lease = Duration::from_millis(100);
    short.courtesy = Duration::from_secs(3600);
    let first = start(&model, short).await;
    let mut silent = Client::new(first.address, "silent").await;
    let (file, open) = silent.open("f", "o").await;
    assert!(silent.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    let mut other = Client::new(first.address, "other").await;
    let (_, open) = other.open("f", "o").await;
    let taken = tokio::time::timeout(Duration::from_secs(60), async {
        while !matches!(
            other.on(&file, lock(open, "l", LockType::Write, 0, 10)).await,
            Ok(Reply::Lock(LockOutcome::Granted(_)))
        ) {}
    });
    taken.await.unwrap();
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;
    let mut silent = Client::connect(second.address).await;
    silent.introduce("silent", 1).await;
    assert_eq!(silent.on(&file, reclaim("o")).await, Err(Status::NoGrace));
    let mut other = Client::connect(second.address).await;
    other.introduce("other", 1).await;
    let Ok(Reply::Open(reclaimed)) = other.on(&file, reclaim("o")).await else { panic!() };
    assert!(other.on(&file, reclaim_lock(reclaimed.stateid)).await.is_ok());
    second.stop().await;
}
