//! A client that falls silent keeps what it has until somebody else wants it.

use crate::client::*;
use model::Model;
use nfs_wire::*;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_silent_client_gives_way_and_learns_of_it() {
    let mut short = config(1);
    short.lease = Duration::from_millis(100);
    short.courtesy = Duration::from_secs(3600);
    let server = start(&Arc::new(Model::new()), short).await;
    let mut silent = Client::new(server.address, "silent").await;
    let (file, open) = silent.open("f", "o").await;
    assert!(silent.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());

    let mut other = Client::new(server.address, "other").await;
    let (_, open) = other.open("f", "o").await;
    let locked = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match other.on(&file, lock(open, "l", LockType::Write, 0, 10)).await {
                Ok(Reply::Lock(LockOutcome::Denied(_))) => {}
                outcome => return outcome,
            }
        }
    });
    assert!(matches!(locked.await.unwrap(), Ok(Reply::Lock(LockOutcome::Granted(_)))));
    assert_eq!(silent.run(vec![Args::Putrootfh(())]).await, [Err(Status::BadSession)]);
    server.stop().await;
}

#[tokio::test]
async fn what_a_silent_client_had_goes_although_that_fails_at_first() {
    let mut short = config(1);
    short.lease = Duration::from_millis(500);
    short.courtesy = Duration::ZERO;
    let model = Arc::new(Model::new());
    let server = start(&model, short).await;
    let mut silent = Client::new(server.address, "silent").await;
    let (file, open) = silent.open("f", "o").await;
    assert!(silent.on(&file, lock(open, "l", LockType::Write, 0, 10)).await.is_ok());
    model.refuse_ends(2);
    let mut other = Client::new(server.address, "other").await;
    let (_, open) = other.open("f", "o").await;
    let gone = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let outcome = other.on(&file, lock(open, "l", LockType::Write, 0, 10)).await;
            if matches!(outcome, Ok(Reply::Lock(LockOutcome::Granted(_)))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("the lock goes");
    server.stop().await;
}

#[tokio::test]
async fn share_reservations_hold_between_clients() {
    let server = serve_empty().await;
    let mut a = Client::new(server.address, "a").await;
    let mut b = Client::new(server.address, "b").await;
    assert!(a.at(&[], vec![Args::Open(open_args("f", "o", 1, 2))]).await.is_ok());
    assert_eq!(b.at(&[], vec![Args::Open(open_args("f", "o", 2, 0))]).await, Err(Status::ShareDenied));
    let Ok(Reply::Open(open)) = b.at(&[], vec![Args::Open(open_args("f", "o", 1, 0))]).await else {
        panic!()
    };
    assert_eq!(b.at(&["f"], vec![write(open.stateid, 0, b"x")]).await, Err(Status::OpenMode));
    assert_eq!(b.at(&["f"], vec![write(Stateid::ANONYMOUS, 0, b"x")]).await, Err(Status::ShareDenied));
    server.stop().await;
}

#[tokio::test]
async fn an_open_is_upgraded_and_downgraded() {
    let server = serve_empty().await;
    let mut a = Client::new(server.address, "a").await;
    let Ok(Reply::Open(read)) = a.at(&[], vec![Args::Open(open_args("f", "o", 1, 0))]).await else {
        panic!()
    };
    let Ok(Reply::Open(both)) = a.at(&[], vec![Args::Open(open_args("f", "o", 2, 0))]).await else {
        panic!()
    };
    assert_eq!((both.stateid.other, both.stateid.seqid), (read.stateid.other, 2));
    assert!(a.at(&["f"], vec![write(both.stateid, 0, b"x")]).await.is_ok());
    let down = |stateid, share_access| {
        Args::OpenDowngrade(OpenDowngradeArgs { stateid, seqid: 0, share_access, share_deny: 0 })
    };
    let Ok(Reply::OpenDowngrade(less)) = a.at(&["f"], vec![down(both.stateid, 1)]).await else { panic!() };
    assert_eq!(a.at(&["f"], vec![write(less.stateid, 0, b"x")]).await, Err(Status::OpenMode));
    assert_eq!(a.at(&["f"], vec![down(less.stateid, 3)]).await, Err(Status::Inval));
    assert_eq!(a.at(&["f"], vec![down(both.stateid, 1)]).await, Err(Status::OldStateId));
    server.stop().await;
}
