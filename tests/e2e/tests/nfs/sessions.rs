//! Every request happens once, whatever is sent twice.

use crate::client::*;
use model::Model;
use nfs_wire::*;
use std::sync::Arc;
use types::FsError;

#[tokio::test]
async fn what_is_written_is_read() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let (file, open) = client.open("f", "o").await;
    let data: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
    let Ok(Reply::Write(written)) = client.on(&file, write(open, 5, &data)).await else { panic!() };
    assert_eq!((written.count, written.committed), (1 << 20, StableHow::FileSync));
    let Ok(Reply::Read(read)) = client.on(&file, read(open, 5, 1 << 20)).await else { panic!() };
    assert!(read.eof && read.data[..] == data[..]);
    let closed = client.on(&file, Args::Close(CloseArgs { seqid: 0, stateid: open })).await;
    assert!(closed.is_ok());
    assert_eq!(client.on(&file, write(open, 0, b"x")).await, Err(Status::BadStateId));
    server.stop().await;
}

#[tokio::test]
async fn a_retry_gets_the_first_answer() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    let mut ops = walk(&[]);
    ops.push(mkdir("d"));
    let first = client.run(ops.clone()).await;
    assert!(matches!(first.last(), Some(Ok(Reply::Create(_)))));
    assert_eq!(client.again(ops.clone()).await, first);

    // Also over another connection of the session.
    let mut other = Client::connect(server.address).await;
    (other.session, other.sequence) = (client.session, client.sequence);
    assert_eq!(other.again(ops.clone()).await, first);
    assert_eq!(client.run(ops).await.last(), Some(&Err(Status::Exist)));

    // What is to be remembered has to be small enough for it.
    let (file, open) = client.open("f", "o").await;
    assert!(client.on(&file, write(open, 0, &[1; 8000])).await.is_ok());
    client.sequence += 1;
    let sequence = Args::Sequence(SequenceArgs { cache_this: true, ..client.sequence_args() });
    let outcomes = client.compound(&[sequence, putfh(&file), read(open, 0, 8000)]).await;
    assert_eq!(outcomes.last(), Some(&Err(Status::RepTooBigToCache)));

    // Another request with the same number is told so.
    let mut different = walk(&[]);
    different.push(mkdir("e"));
    assert_eq!(client.again(different).await, [Err(Status::SeqFalseRetry)]);
    server.stop().await;
}

#[tokio::test]
async fn what_may_have_been_done_is_asked_for_again_and_answered_as_the_first_time() {
    let model = Arc::new(Model::new());
    let server = start(&model, config(1)).await;
    let mut client = Client::new(server.address, "a").await;
    let ops = |name| [walk(&[]), vec![mkdir(name), getattr(&[attr::TYPE])]].concat();
    // Done, but nobody knows; then nobody can be asked; then it is known.
    model.lose_replies(&[FsError::Uncertain, FsError::Delay]);
    for _ in 0..2 {
        assert_eq!(client.run(ops("d")).await, [Err(Status::Delay)], "of SEQUENCE: the request is not over");
    }
    let outcomes = client.run(ops("d")).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(client.again(ops("d")).await, outcomes, "from the slot");
    // Without a doubt before, a delay is an answer like others.
    model.lose_replies(&[FsError::Delay]);
    assert_eq!(client.run(ops("e")).await.last(), Some(&Err(Status::Delay)));
    assert_eq!(client.run(ops("e")).await.last(), Some(&Err(Status::Exist)));

    // A client that asks for something else does not get the answer of what it has given up.
    model.lose_replies(&[FsError::Uncertain]);
    assert_eq!(client.run(ops("f")).await, [Err(Status::Delay)]);
    assert_eq!(client.run(ops("other")).await, [Err(Status::SeqFalseRetry)]);
    client.sequence += 1;
    assert!(client.run(ops("other")).await.iter().all(Result::is_ok));
    for name in ["d", "f", "other"] {
        assert!(client.at(&[name], vec![]).await.is_ok(), "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn sequence_rules_are_kept() {
    let server = serve_empty().await;
    let mut client = Client::new(server.address, "a").await;
    assert_eq!(client.compound(&[Args::Putrootfh(())]).await, [Err(Status::OpNotInSession)]);
    let sequence = client.sequence_args();
    let bad = SequenceArgs { session: [9; 16], ..sequence.clone() };
    assert_eq!(client.alone(Args::Sequence(bad)).await, Err(Status::BadSession));
    let bad = SequenceArgs { slot: 64, ..sequence.clone() };
    assert_eq!(client.alone(Args::Sequence(bad)).await, Err(Status::BadSlot));
    let bad = SequenceArgs { sequence: sequence.sequence + 2, ..sequence.clone() };
    assert_eq!(client.alone(Args::Sequence(bad)).await, Err(Status::SeqMisordered));
    let twice = client.run(vec![Args::Sequence(sequence)]).await;
    assert_eq!(twice, [Err(Status::SequencePos)]);
    let many = vec![Args::Putrootfh(()); 32];
    assert_eq!(client.run(many).await, [Err(Status::TooManyOps)]);
    client.minor = 0;
    assert!(client.compound(&[Args::Putrootfh(())]).await.is_empty());
    client.minor = 1;
    let seek = SeekArgs { stateid: Stateid::ANONYMOUS, offset: 0, what: DataContent::Data };
    let outcomes = client.run(vec![Args::Putrootfh(())]).await;
    assert_eq!(outcomes, [Ok(Reply::Putrootfh(()))]);
    client.sequence += 1;
    let sequence = Args::Sequence(client.sequence_args());
    let mut body = xdr::Encoder::new();
    xdr::Encode::encode(&CompoundArgs { tag: Default::default(), minor: 1, count: 2 }, &mut body);
    xdr::Encode::encode(&sequence, &mut body);
    xdr::Encode::encode(&Args::Seek(seek), &mut body);
    let mut d = client.call(body).await.unwrap();
    let head: CompoundReply = xdr::Decode::decode(&mut d).unwrap();
    assert_eq!((head.status, head.count), (Status::OpIllegal, 2));
    server.stop().await;
}

#[tokio::test]
async fn a_reply_that_does_not_fit_changes_nothing() {
    let server = serve_empty().await;
    let mut client = Client::connect(server.address).await;
    let Ok(Reply::ExchangeId(known)) = client.exchange_id("small", 1).await else { panic!() };
    let mut fore = channel();
    fore.max_response_size = 512;
    let args = CreateSessionArgs {
        clientid: known.clientid,
        sequence: known.sequence,
        flags: 0,
        fore,
        back: channel(),
        cb_program: 0,
        sec_parms: xdr::List::default(),
    };
    let Ok(Reply::CreateSession(created)) = client.alone(Args::CreateSession(args)).await else { panic!() };
    client.session = created.session;
    let (file, open) = {
        client.run(vec![Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })]).await;
        client.open("f", "o").await
    };
    assert!(client.on(&file, write(open, 0, &[1; 2000])).await.is_ok());
    assert_eq!(client.on(&file, read(open, 0, 2000)).await, Err(Status::RepTooBig));
    assert!(client.on(&file, read(open, 0, 100)).await.is_ok());
    let mut ops = walk(&[]);
    ops.extend(vec![getattr(&[attr::MODE]); 11]);
    ops.push(mkdir("never"));
    assert_eq!(client.run(ops).await.last(), Some(&Err(Status::RepTooBig)));
    assert_eq!(client.at(&["never"], vec![]).await, Err(Status::NoEnt));
    server.stop().await;
}
