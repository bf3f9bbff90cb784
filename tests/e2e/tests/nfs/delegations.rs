//! Files are delegated to clients that can be called, and asked back before others see or do anything that would make them wrong.

use crate::client::*;
use model::Model;
use nfs::NfsConfig;
use nfs_wire::*;
use remote::{Coherent, DelegatedFile};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use types::{Cred, Name, SetAttr};
use vfs::{Ctx, GetAttr, GetAttrReply, LookupReply, SetAttrOf, Unlink, Vfs};

const READ: u32 = 1;
const BOTH: u32 = 3;
const PERSIST_AND_CALL: u32 = 3;
const CB_PATH_DOWN: u32 = 1;
const REVOKED: u32 = 0x40;

type Files = Coherent<Model>;

async fn serve(config: NfsConfig) -> (Arc<Files>, Running<Files>) {
    let begun = std::time::Instant::now() - Duration::from_secs(5);
    let files = Arc::new(Coherent::new(Arc::new(Model::new()), begun));
    let running = start(&files, config).await;
    (files, running)
}

/// A client that can be called, and has nothing to claim.
async fn callable(running: &Running<Files>, owner: &'static str) -> Client {
    let mut client = introduced(running, owner).await;
    assert!(client.run(vec![complete()]).await[0].is_ok());
    client
}

fn complete() -> Args {
    Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })
}

async fn introduced(running: &Running<Files>, owner: &'static str) -> Client {
    let mut client = Client::connect(running.address).await;
    let Ok(Reply::ExchangeId(known)) = client.exchange_id(owner, 1).await else { panic!() };
    client.clientid = known.clientid;
    let Ok(Reply::CreateSession(created)) =
        client.create_session_with(known.sequence, PERSIST_AND_CALL).await
    else {
        panic!()
    };
    assert_eq!(created.flags, PERSIST_AND_CALL);
    client.session = created.session;
    client
}

/// OPEN by name with an access, and GETATTR of the change attribute, as Linux does it.
async fn open(client: &mut Client, name: &'static str, access: u32) -> Result<(FileHandle, OpenOk), Status> {
    let mut ops = walk(&[]);
    ops.extend([Args::Open(open_args(name, "o", access, 0)), Args::Getfh(()), getattr(&[attr::CHANGE])]);
    let outcomes = client.run(ops).await;
    match &outcomes[..] {
        [.., Ok(Reply::Open(open)), Ok(Reply::Getfh(handle)), Ok(Reply::Getattr(got))] => {
            client.change = Attributes::from_fattr(&got.attrs).unwrap().change.unwrap();
            Ok((handle.object.clone(), open.clone()))
        }
        [.., Err(status)] => Err(*status),
        _ => panic!("{outcomes:?}"),
    }
}

/// The stateid of what is delegated to write, or to read.
fn delegated(open: &OpenOk, to_write: bool) -> Stateid {
    match &open.delegation {
        OpenDelegation::Read(given) if !to_write => given.stateid,
        OpenDelegation::Write(given) if to_write => {
            assert_eq!(given.space_limit, SpaceLimit::Size(0));
            given.stateid
        }
        other => panic!("{other:?}"),
    }
}

fn give_back(stateid: Stateid) -> Args {
    Args::Delegreturn(DelegreturnArgs { stateid })
}

fn close(stateid: Stateid) -> Args {
    Args::Close(CloseArgs { seqid: 0, stateid })
}

fn recalls(call: CbArgs, stateid: Stateid, object: &FileHandle) {
    let CbArgs::Recall(recall) = call else { panic!("{call:?}") };
    assert_eq!((recall.stateid, &recall.object), (stateid, object));
}

/// As through a mount.
fn root() -> Ctx {
    Ctx { client: vfs::ClientId(99), ..Ctx::new(Cred::root()) }
}

async fn find(files: &Arc<Files>, name: &str) -> LookupReply {
    let name = Name::new(name.as_bytes().to_vec()).unwrap();
    let dir = files.filesystem(&root(), vfs::Filesystem { name: "default".to_owned() }).await.unwrap().root;
    files.lookup(&root(), vfs::Lookup { dir, name }).await.unwrap()
}

/// Something that a mount asks, and that has to wait for a client.
fn ask<T: Send + 'static>(files: &Arc<Files>, what: impl AsyncFnOnceSend<T>) -> tokio::task::JoinHandle<T> {
    tokio::spawn(what.call(files.clone()))
}

trait AsyncFnOnceSend<T>: Send {
    fn call(self, files: Arc<Files>) -> impl Future<Output = T> + Send + 'static;
}

impl<T, F, R> AsyncFnOnceSend<T> for F
where
    F: FnOnce(Arc<Files>) -> R + Send,
    R: Future<Output = T> + Send + 'static,
{
    fn call(self, files: Arc<Files>) -> impl Future<Output = T> + Send + 'static {
        self(files)
    }
}

#[tokio::test]
async fn a_reader_is_asked_before_another_client_writes() {
    let (_, running) = serve(config(1)).await;
    let mut writer = Client::new(running.address, "w").await;
    let (file, state) = writer.open("f", "o").await;
    assert!(writer.on(&file, write(state, 0, b"old")).await.is_ok());
    assert!(writer.on(&file, close(state)).await.is_ok());

    let (mut a, mut b) = (callable(&running, "a").await, callable(&running, "b").await);
    let (_, opened) = open(&mut a, "f", READ).await.unwrap();
    let held = delegated(&opened, false);
    let of_b = delegated(&open(&mut b, "f", READ).await.unwrap().1, false);
    assert!(a.on(&file, close(opened.stateid)).await.is_ok());
    let Ok(Reply::Read(got)) = a.on(&file, read(held, 0, 9)).await else { panic!() };
    assert_eq!(&got.data[..], b"old");
    assert_eq!(a.on(&file, write(held, 0, b"new")).await, Err(Status::OpenMode));

    assert_eq!(open(&mut writer, "f", BOTH).await, Err(Status::Delay));
    recalls(a.next_call().await, held, &file);
    recalls(b.next_call().await, of_b, &file);
    assert_eq!(a.on(&file, give_back(held)).await, Ok(Reply::Delegreturn(())));
    assert_eq!(a.on(&file, give_back(held)).await, Err(Status::BadStateId));
    assert_eq!(open(&mut writer, "f", BOTH).await, Err(Status::Delay), "b has its still");
    assert!(b.on(&file, give_back(of_b)).await.is_ok());
    let (_, opened) = open(&mut writer, "f", BOTH).await.unwrap();
    assert!(writer.on(&file, write(opened.stateid, 0, b"new")).await.is_ok());
    let (_, again) = open(&mut a, "f", READ).await.unwrap();
    assert_eq!(again.delegation, OpenDelegation::None(()), "somebody writes");
    assert!(a.called.is_empty() && b.called.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn who_looks_at_a_file_sees_what_its_writer_keeps() {
    let (files, running) = serve(config(1)).await;
    let mut a = callable(&running, "a").await;
    let (file, opened) = open(&mut a, "f", BOTH).await.unwrap();
    let held = delegated(&opened, true);
    assert!(a.on(&file, close(opened.stateid)).await.is_ok());
    assert!(a.on(&file, write(held, 0, b"12")).await.is_ok());

    // It says that it keeps nothing: then what is known is the truth.
    let looking = ask(&files, |files: Arc<Files>| async move { find(&files, "f").await });
    assert!(matches!(a.next_call().await, CbArgs::Getattr(asked) if asked.object == file));
    let found = looking.await.unwrap().attr;
    assert_eq!(found.size, 2);

    // It has written: that comes first.
    a.change += 1;
    let looking =
        ask(
            &files,
            |files: Arc<Files>| async move { files.getattr(&root(), GetAttr { file: found.file }).await },
        );
    assert!(matches!(a.next_call().await, CbArgs::Getattr(_)));
    recalls(a.next_call().await, held, &file);
    assert!(a.on(&file, write(held, 2, b"3")).await.is_ok());
    assert!(a.on(&file, give_back(held)).await.is_ok());
    let GetAttrReply { attr, .. } = looking.await.unwrap().unwrap();
    assert_eq!(attr.size, 3);

    let (_, again) = open(&mut a, "f", BOTH).await.unwrap();
    assert_eq!(again.delegation, OpenDelegation::None(()), "it has just been asked back");
    running.stop().await;
}

#[tokio::test]
async fn opens_and_locks_are_made_good_before_a_delegation_goes_back() {
    let (files, running) = serve(config(1)).await;
    let mut a = callable(&running, "a").await;
    let (file, opened) = open(&mut a, "f", BOTH).await.unwrap();
    let held = delegated(&opened, true);
    assert!(a.on(&file, close(opened.stateid)).await.is_ok());

    let id = a.on(&file, getattr(&[attr::FILEID])).await;
    let ino = attributes(id).fileid.unwrap();
    let fs = files.filesystem(&root(), vfs::Filesystem { name: "default".to_owned() }).await.unwrap().root.fs;
    let of = types::FileId { fs, ino: types::InodeId(ino) };
    let set = SetAttr { mode: Some(types::Mode(0o600)), ..SetAttr::default() };
    let changing = ask(&files, move |files: Arc<Files>| async move {
        files.setattr(&root(), SetAttrOf { file: of, open: None, set, if_ctime: None }).await
    });
    recalls(a.next_call().await, held, &file);
    let claim =
        |claim| Args::Open(OpenArgs { how: OpenHow::NoCreate(()), claim, ..open_args("", "o", BOTH, 0) });
    let lost = Stateid { seqid: 1, ..Stateid::ANONYMOUS };
    let lost = Stateid { other: [7; 12], ..lost };
    assert_eq!(a.on(&file, claim(OpenClaim::DelegateCurFh(lost))).await, Err(Status::BadStateId));
    let Ok(Reply::Open(opened)) = a.on(&file, claim(OpenClaim::DelegateCurFh(held))).await else { panic!() };
    assert!(a.on(&file, lock(opened.stateid, "l", LockType::Write, 0, 10)).await.is_ok());
    assert!(!changing.is_finished());
    assert!(a.on(&file, give_back(held)).await.is_ok());
    assert_eq!(changing.await.unwrap().unwrap().attr.mode, types::Mode(0o600));
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_give_back_loses_it_and_is_told() {
    let lease = Duration::from_millis(700);
    let (files, running) = serve(NfsConfig { lease, ..config(1) }).await;
    let mut a = callable(&running, "a").await;
    let (file, opened) = open(&mut a, "f", BOTH).await.unwrap();
    let held = delegated(&opened, true);

    let removing = ask(&files, |files: Arc<Files>| async move {
        let dir =
            files.filesystem(&root(), vfs::Filesystem { name: "default".to_owned() }).await.unwrap().root;
        files.unlink(&root(), Unlink { dir, name: Name::new(b"f".to_vec()).unwrap() }).await
    });
    recalls(a.next_call().await, held, &file);
    while !removing.is_finished() {
        // It lives, but keeps what it was asked for.
        assert!(a.is_served().await && a.on(&file, getattr(&[attr::SIZE])).await.is_ok());
    }
    assert!(removing.await.unwrap().is_ok());
    for refused in [write(held, 0, b"late"), read(held, 0, 1), give_back(held)] {
        assert_eq!(a.on(&file, refused).await, Err(Status::DelegRevoked));
    }
    assert!(a.on(&file, write(opened.stateid, 0, b"still open")).await.is_ok());
    let flags = async |a: &mut Client| {
        a.sequence += 1;
        let Ok(Reply::Sequence(reply)) = a.alone(Args::Sequence(a.sequence_args())).await else { panic!() };
        reply.status_flags
    };
    assert_eq!(flags(&mut a).await, REVOKED);
    let test = Args::TestStateid(TestStateidArgs { stateids: xdr::List(vec![held, opened.stateid]) });
    let Ok(Reply::TestStateid(tested)) = a.run(vec![test]).await.remove(0) else { panic!() };
    assert_eq!(tested.statuses.0, [Status::DelegRevoked, Status::Ok]);
    let free = Args::FreeStateid(FreeStateidArgs { stateid: held });
    assert_eq!(a.run(vec![free.clone()]).await, [Ok(Reply::FreeStateid(()))]);
    assert_eq!((a.run(vec![free]).await, flags(&mut a).await), (vec![Err(Status::BadStateId)], 0));
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_has_gone_is_in_nobodys_way() {
    let lease = Duration::from_millis(300);
    let (files, running) = serve(NfsConfig { lease, courtesy: Duration::from_secs(600), ..config(1) }).await;
    let mut a = callable(&running, "a").await;
    open(&mut a, "f", BOTH).await.unwrap();
    drop(a);
    let found = tokio::time::timeout(Duration::from_secs(10), find(&files, "f")).await.unwrap();
    assert_eq!(found.attr.size, 0);
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_delegated_to_who_cannot_be_called_or_does_not_want_it() {
    let (_, running) = serve(config(1)).await;
    let mut deaf = Client::new(running.address, "d").await;
    let (_, opened) = open(&mut deaf, "f", BOTH).await.unwrap();
    assert_eq!(opened.delegation, OpenDelegation::None(()));
    let (_, opened) = open(&mut deaf, "f", BOTH | 0x200).await.unwrap();
    assert_eq!(opened.delegation, OpenDelegation::NoneExt(WhyNoDelegation::Resource(false)));

    let mut a = callable(&running, "a").await;
    for (wants, why) in [
        (0x400, WhyNoDelegation::NotWanted(())),
        (0x500, WhyNoDelegation::Cancelled(())),
        (0x200, WhyNoDelegation::Contention(false)),
    ] {
        let (_, opened) = open(&mut a, "f", READ | wants).await.unwrap();
        assert_eq!(opened.delegation, OpenDelegation::NoneExt(why));
    }
    assert_eq!(open(&mut a, "f", READ | 0x600).await, Err(Status::Inval));
    let (file, opened) = open(&mut a, "g", READ).await.unwrap();
    let held = delegated(&opened, false);
    let (_, again) = open(&mut a, "g", BOTH | 0x200).await.unwrap();
    assert_eq!(again.delegation, OpenDelegation::NoneExt(WhyNoDelegation::NotSuppUpgrade(())));
    assert_eq!(
        a.run(vec![Args::FreeStateid(FreeStateidArgs { stateid: held })]).await,
        [Err(Status::LocksHeld)]
    );
    assert!(a.on(&file, give_back(held)).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_over_another_connection_is_asked_there() {
    let (files, running) = serve(config(1)).await;
    let mut a = callable(&running, "a").await;
    let (file, opened) = open(&mut a, "f", BOTH).await.unwrap();
    let held = delegated(&opened, true);
    let mut again = a.reconnect(running.address).await;
    drop(a);
    let flags = async |client: &mut Client| {
        client.sequence += 1;
        let Ok(Reply::Sequence(reply)) = client.alone(Args::Sequence(client.sequence_args())).await else {
            panic!()
        };
        reply.status_flags & CB_PATH_DOWN
    };
    while flags(&mut again).await == 0 {}
    let looking = ask(&files, |files: Arc<Files>| async move { find(&files, "f").await });
    let (_, other) = open(&mut again, "g", BOTH).await.unwrap();
    assert_eq!(other.delegation, OpenDelegation::None(()), "it cannot be called");
    let bind = BindConnArgs { session: again.session, dir: ChannelFromClient::BackOrBoth, rdma: false };
    let Ok(Reply::BindConnToSession(bound)) = again.alone(Args::BindConnToSession(bind)).await else {
        panic!()
    };
    assert_eq!(bound.dir, ChannelFromServer::Both);
    assert_eq!(flags(&mut again).await, 0);
    // Whatever it was asked first went nowhere.
    while !matches!(again.next_call().await, CbArgs::Recall(_)) {}
    assert!(again.on(&file, give_back(held)).await.is_ok());
    assert_eq!(looking.await.unwrap().attr.size, 0);
    running.stop().await;
}

/// Lives of a daemon over one model and one file of delegations.
struct Lives {
    model: Arc<Model>,
    folder: tempfile::TempDir,
}

impl Lives {
    fn new() -> Lives {
        Lives { model: Arc::new(Model::new()), folder: tempfile::tempdir().unwrap() }
    }

    async fn begin(&self, boot: &str, instance: u64) -> (Arc<Files>, Running<Files>) {
        let begun = std::time::Instant::now() - Duration::from_secs(5);
        let file = DelegatedFile::open(self.folder.path().join("delegated"), boot).unwrap();
        let files = Coherent::new(self.model.clone(), begun).with_delegations(file).unwrap();
        let files = Arc::new(files);
        let running = start(&files, config(instance)).await;
        (files, running)
    }

    /// Ends a life in which two clients each had a file to write.
    async fn leave_two(&self) -> (FileHandle, types::FileId) {
        let (files, running) = self.begin("boot", 1).await;
        let mut of_a = None;
        for (owner, name) in [("a", "f"), ("b", "g")] {
            let mut client = callable(&running, owner).await;
            let (file, opened) = open(&mut client, name, BOTH).await.unwrap();
            delegated(&opened, true);
            of_a.get_or_insert(file);
        }
        let ino = files.inner_lookup("f").await;
        running.stop().await;
        self.model.restart();
        (of_a.unwrap(), ino)
    }
}

trait InnerLookup {
    /// As the first client sees it, which is in nobody's way.
    async fn inner_lookup(&self, name: &str) -> types::FileId;
}

impl InnerLookup for Arc<Files> {
    async fn inner_lookup(&self, name: &str) -> types::FileId {
        let dir =
            self.filesystem(&root(), vfs::Filesystem { name: "default".to_owned() }).await.unwrap().root;
        let list = vfs::ReadDir { dir, after: types::Cookie::START, limit: 10, attrs: false };
        let entries = self.readdir(&root(), list).await.unwrap().entries;
        entries.iter().find(|entry| entry.name.as_bytes() == name.as_bytes()).unwrap().file
    }
}

fn reclaim(kind: u32) -> Args {
    let claim = OpenClaim::Previous(kind);
    Args::Open(OpenArgs { how: OpenHow::NoCreate(()), claim, ..open_args("", "o", BOTH, 0) })
}

/// Something that a mount changes; says how large the file is then.
fn change(files: &Arc<Files>, file: types::FileId) -> tokio::task::JoinHandle<u64> {
    ask(files, move |files: Arc<Files>| async move {
        // Looking need not wait: what was closed is known.
        assert_eq!(files.getattr(&root(), GetAttr { file }).await.unwrap().attr.size, 0);
        let set = SetAttr { mode: Some(types::Mode(0o600)), ..SetAttr::default() };
        files.setattr(&root(), SetAttrOf { file, open: None, set, if_ctime: None }).await.unwrap().attr.size
    })
}

#[tokio::test]
async fn a_delegation_outlives_the_daemon_and_others_wait_for_its_holder() {
    let lives = Lives::new();
    let (file, of) = lives.leave_two().await;
    let (files, running) = lives.begin("boot", 2).await;
    let changing = change(&files, of);
    let mut a = introduced(&running, "a").await;
    let Ok(Reply::Open(opened)) = a.on(&file, reclaim(2)).await else { panic!() };
    let held = delegated(&opened, true);
    recalls(a.next_call().await, held, &file);
    assert!(!changing.is_finished());
    assert!(a.run(vec![complete()]).await[0].is_ok());
    assert!(a.on(&file, write(held, 0, b"kept")).await.is_ok());
    assert!(a.on(&file, give_back(held)).await.is_ok());
    assert_eq!(changing.await.unwrap(), 4);

    // What is claimed no more is in nobody's way.
    assert!(a.called.is_empty());
    let of_b = files.inner_lookup("g").await;
    let changing = change(&files, of_b);
    let mut b = introduced(&running, "b").await;
    assert!(!changing.is_finished());
    assert!(b.run(vec![complete()]).await[0].is_ok());
    assert_eq!(changing.await.unwrap(), 0);
    running.stop().await;
}

#[tokio::test]
async fn after_a_power_cut_everybody_waits_until_holders_have_claimed() {
    let lives = Lives::new();
    let (file, of) = lives.leave_two().await;
    let (files, running) = lives.begin("another boot", 2).await;
    let changing = change(&files, of);
    let mut a = introduced(&running, "a").await;
    let mut ops = vec![putfh(&file), reclaim(2), getattr(&[attr::SIZE])];
    let outcomes = a.run(std::mem::take(&mut ops)).await;
    let [.., Ok(Reply::Open(opened)), Ok(Reply::Getattr(_))] = &outcomes[..] else { panic!("{outcomes:?}") };
    let held = delegated(opened, true);
    recalls(a.next_call().await, held, &file);
    assert!(a.run(vec![complete()]).await[0].is_ok());
    assert!(a.on(&file, give_back(held)).await.is_ok());
    assert!(!changing.is_finished(), "others may claim anything");
    let mut b = introduced(&running, "b").await;
    assert!(b.run(vec![complete()]).await[0].is_ok());
    files.outlive().await;
    assert_eq!(changing.await.unwrap(), 0);
    running.stop().await;
}

#[tokio::test]
async fn who_has_opened_a_file_before_its_holder_came_back_has_it_asked_back() {
    let lives = Lives::new();
    let (file, of) = lives.leave_two().await;
    let (files, running) = lives.begin("boot", 2).await;
    let request = vfs::Open {
        target: vfs::OpenTarget::File(of),
        access: vfs::OpenAccess { read: true, write: false },
        deny: vfs::OpenAccess::default(),
        create: None,
        truncate: false,
        reclaim: false,
        for_execution: false,
    };
    files.open(&root(), request).await.unwrap();
    let mut a = introduced(&running, "a").await;
    let Ok(Reply::Open(opened)) = a.on(&file, reclaim(2)).await else { panic!() };
    let held = delegated(&opened, true);
    recalls(a.next_call().await, held, &file);
    assert!(a.on(&file, give_back(held)).await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn what_is_claimed_and_nobody_wants_stays_with_its_holder() {
    let lives = Lives::new();
    let (file, _) = lives.leave_two().await;
    let (_, running) = lives.begin("boot", 2).await;
    let mut a = introduced(&running, "a").await;
    let Ok(Reply::Open(opened)) = a.on(&file, reclaim(2)).await else { panic!() };
    let held = delegated(&opened, true);
    assert!(a.run(vec![complete()]).await[0].is_ok());
    assert!(a.on(&file, write(held, 0, b"on")).await.is_ok());
    assert!(a.called.is_empty());
    running.stop().await;
}
