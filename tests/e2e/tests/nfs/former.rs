//! Requests whose reply went down with the server: what took effect is answered as it would have been, nothing is
//! done twice, and nothing new is done in a session of a former life.

use crate::client::*;
use model::Model;
use nfs_wire::*;
use std::sync::Arc;
use types::{FsError, Name};
use vfs::{Ctx, Lookup, Vfs};

/// A server that went down after it did `ops`, and is up again.
async fn answered_in_a_former_life(ops: Vec<Args>) -> (Arc<Model>, Running, Client, Vec<Outcome>) {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    let (file, _) = client.open("f", "o").await;
    assert!(client.at(&[], vec![mkdir("empty")]).await.is_ok());
    let outcomes = client.run([vec![putfh(&file), Args::Savefh(())], walk(&[]), ops].concat()).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;
    let client = client.reconnect(second.address).await;
    (model, second, client, outcomes)
}

async fn is_there(model: &Model, name: &str) -> bool {
    let name = Name::new(name.as_bytes().to_vec()).unwrap();
    match model.lookup(&Ctx::new(types::Cred::root()), Lookup { dir: model.root(), name }).await {
        Ok(_) => true,
        Err(FsError::NotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

fn remove(name: &str) -> Args {
    Args::Remove(RemoveArgs { target: component(name) })
}

fn exclusive(name: &str, how: CreateHow) -> Args {
    Args::Open(OpenArgs { how: OpenHow::Create(how), ..open_args(name, "x", 3, 0) })
}

#[tokio::test]
async fn every_change_that_must_not_be_done_twice_is_answered_again() {
    let attrs = Attributes { mode: Some(0o600), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
    let symlink = CreateArgs {
        kind: CreateType::Lnk(component("target")),
        name: component("symlink"),
        attrs: Fattr::default(),
    };
    let xattr =
        SetxattrArgs { option: SetXattrOption::Create, name: component("x"), value: xdr::Opaque::default() };
    let changes: Vec<(&str, Vec<Args>)> = vec![
        ("mkdir", vec![mkdir("made"), getattr(&[attr::TYPE])]),
        ("symlink", vec![Args::Create(symlink)]),
        ("guarded open", vec![exclusive("made", CreateHow::Guarded(attrs.clone())), Args::Getfh(())]),
        (
            "exclusive open",
            vec![exclusive(
                "made",
                CreateHow::Exclusive41(CreateVerfAttrs { verifier: [7; 8], attrs: attrs.clone() }),
            )],
        ),
        ("link", vec![Args::Link(LinkArgs { name: component("linked") })]),
        ("remove of a file", vec![remove("f")]),
        ("remove of a directory", vec![remove("empty")]),
        ("rename", {
            let rename = RenameArgs { old: component("f"), new: component("moved") };
            vec![Args::Savefh(()), Args::Rename(rename)]
        }),
        ("setxattr", vec![Args::Setxattr(xattr)]),
        ("setattr", vec![Args::Setattr(SetattrArgs { stateid: Stateid::ANONYMOUS, attrs })]),
    ];
    for (what, ops) in changes {
        let (_model, server, mut client, first) = answered_in_a_former_life(ops.clone()).await;
        let again: Vec<Args> = {
            // As it was sent: the file handles are those of the first life.
            let [Ok(_), Ok(_), ..] = &first[..] else { panic!() };
            let file = client.file.clone().unwrap();
            [vec![putfh(&file), Args::Savefh(())], walk(&[]), ops].concat()
        };
        for _ in 0..2 {
            let outcomes = client.again(again.clone()).await;
            let same = |(one, two): (&Outcome, &Outcome)| match (one, two) {
                // What was open is lost like all that was open.
                (Ok(Reply::Open(one)), Ok(Reply::Open(two))) => {
                    OpenOk { stateid: two.stateid, ..one.clone() } == *two && one.stateid != two.stateid
                }
                (one, two) => one == two,
            };
            assert_eq!(outcomes.len(), first.len(), "{what}: {outcomes:?}");
            assert!(first.iter().zip(&outcomes).all(same), "{what}: {outcomes:?} is not {first:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn what_was_not_done_is_not_done_in_a_former_session() {
    let (model, server, mut client, _) = answered_in_a_former_life(vec![mkdir("made")]).await;
    let file = client.file.clone().unwrap();
    let request = |ops: Vec<Args>| [vec![putfh(&file), Args::Savefh(())], walk(&[]), ops].concat();

    // A request that was done in part: what was not done then is left to be done in a new session.
    let outcomes = client.again(request(vec![mkdir("made"), mkdir("more")])).await;
    assert!(matches!(outcomes[4..], [Ok(Reply::Create(_)), Err(Status::DeadSession)]), "{outcomes:?}");
    assert!(!is_there(&model, "more").await);

    // New requests, and such as change nothing or are not remembered.
    let dead = [Err(Status::DeadSession)];
    assert_eq!(client.again(request(vec![getattr(&[attr::TYPE])])).await, dead);
    assert_eq!(client.again(vec![]).await, dead);
    assert_eq!(client.run(request(vec![mkdir("new")])).await, dead);
    assert!(!is_there(&model, "new").await);
    assert_eq!(client.run(vec![putfh(&file), write(Stateid::ANONYMOUS, 0, b"x")]).await, dead);
    let slot = SequenceArgs { slot: 64, ..client.sequence_args() };
    assert_eq!(client.alone(Args::Sequence(slot)).await, Err(Status::BadSlot));
    let bind = BindConnArgs { session: client.session, dir: ChannelFromClient::Fore, rdma: false };
    assert_eq!(client.alone(Args::BindConnToSession(bind)).await, Err(Status::DeadSession));

    // The client goes on in a session of its own, and destroys the former one.
    let mut now = Client::new(server.address, "a").await;
    assert!(now.at(&[], vec![mkdir("new")]).await.is_ok());
    let destroy = Args::DestroySession(DestroySessionArgs { session: client.session });
    assert_eq!(now.alone(destroy.clone()).await, Ok(Reply::DestroySession(())));
    assert_eq!(client.again(vec![]).await, [Err(Status::BadSession)]);
    assert_eq!(now.alone(destroy).await, Err(Status::BadSession));
    server.stop().await;
}

#[tokio::test]
async fn a_reply_lost_twice_is_given_in_the_third_life() {
    let (model, second, mut client, first) = answered_in_a_former_life(vec![mkdir("made")]).await;
    let file = client.file.clone().unwrap();
    let request = [vec![putfh(&file), Args::Savefh(())], walk(&[]), vec![mkdir("made")]].concat();
    // The second life ends while the client has a session there, and has done something in it.
    let mut between = Client::new(second.address, "a").await;
    assert!(between.at(&[], vec![mkdir("between")]).await.is_ok());
    let done = [walk(&[]), vec![mkdir("between")]].concat();
    second.stop().await;
    model.restart();
    let third = start(&model, config(3)).await;
    client = client.reconnect(third.address).await;
    between = between.reconnect(third.address).await;
    assert_eq!(client.again(request.clone()).await, first);
    assert!(between.again(done).await.iter().all(Result::is_ok));
    // Another machine's introduction under the same name ends all that.
    let mut other = Client::connect(third.address).await;
    other.introduce("a", 2).await;
    assert_eq!(client.again(request).await, [Err(Status::BadSession)]);
    third.stop().await;
}

#[tokio::test]
async fn persistence_is_granted_to_who_asks_for_it() {
    let server = serve_empty().await;
    for (flags, granted) in [(0, 0), (1, 1), (7, 3)] {
        let mut client = Client::connect(server.address).await;
        let Ok(Reply::ExchangeId(known)) = client.exchange_id("p", flags as u8).await else { panic!() };
        client.clientid = known.clientid;
        let Ok(Reply::CreateSession(created)) = client.create_session_with(known.sequence, flags).await
        else {
            panic!()
        };
        assert_eq!(created.flags, granted);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_was_not_to_persist_is_gone() {
    let model = Arc::new(Model::new());
    let first = start(&model, config(1)).await;
    let mut client = Client::new(first.address, "a").await;
    let Ok(Reply::CreateSession(created)) = client.create_session_with(2, 0).await else { panic!() };
    assert_eq!(created.flags, 0);
    (client.session, client.sequence) = (created.session, 0);
    assert!(client.at(&[], vec![mkdir("made")]).await.is_ok());
    first.stop().await;
    model.restart();
    let second = start(&model, config(2)).await;
    let mut client = client.reconnect(second.address).await;
    let again = [walk(&[]), vec![mkdir("made")]].concat();
    assert_eq!(client.again(again).await, [Err(Status::BadSession)]);
    // A session after it has identities of its own: nothing of the lost one is answered in it.
    client.introduce("a", 1).await;
    assert_eq!(client.at(&[], vec![mkdir("made")]).await, Err(Status::Exist));
    second.stop().await;
}
