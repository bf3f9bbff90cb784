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

    let mut again = config(2);
    again.grace = Duration::from_secs(3600);
    let second = start(&model, again).await;
    let (session, sequence, clientid) = (client.session, client.sequence, client.clientid);
    let mut client = Client::connect(second.address).await;
    (client.session, client.sequence, client.clientid) = (session, sequence, clientid);
    assert_eq!(client.run(vec![Args::Putrootfh(())]).await, [Err(Status::BadSession)]);
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

    second.server.end_grace();
    model.end_grace();
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
