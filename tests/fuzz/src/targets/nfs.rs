//! The NFS server on a real socket, over the reference.

use super::wire::runtime;
use crate::parts::{Parts, joined};
use bytes::Bytes;
use model::Model;
use nfs::{ExportTable, NfsConfig, Server};
use nfs_wire::*;
use serve::Export;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use xdr::record::FragmentHeader;
use xdr::rpc::{AuthSys, Call, Credential, ReplyStatus};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque};

/// A request that is not answered within this hangs.
const ANSWER: Duration = Duration::from_secs(20);

/// What a connection brings, records and all.
pub(crate) fn stream(bytes: &[u8]) {
    runtime().block_on(async {
        let server = Running::start().await;
        let mut stream = server.connect().await;
        let (mut reader, mut writer) = stream.split();
        // The server may close at any byte.
        let write = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.write_all(&record(call(0, nfs_wire::PROC_NULL), Encoder::new())).await;
            let _ = writer.shutdown().await;
        };
        let read = async {
            let mut replies = Vec::new();
            let _ = reader.read_to_end(&mut replies).await;
        };
        let both = async { tokio::join!(write, read) };
        assert!(timeout(ANSWER, both).await.is_ok(), "neither answered nor closed");
        server.stop().await;
    });
}

pub(crate) fn stream_seeds() -> Vec<Vec<u8>> {
    let one =
        |ops: &[Args]| record(call(7, nfs_wire::PROC_COMPOUND), compound(ops.len() as u32, &encoded(ops)));
    vec![
        one(&[exchange_id()]),
        one(&[exchange_id(), Args::Putrootfh(())]),
        record(call(1, 0), Encoder::new()),
    ]
}

/// Compounds in a session: each part is a number of operations in one byte, and operations after SEQUENCE.
pub(crate) fn session(bytes: &[u8]) {
    runtime().block_on(async {
        let server = Running::start().await;
        let mut stream = server.connect().await;
        let session = begin(&mut stream).await;
        for (number, part) in Parts(bytes).take(64).enumerate() {
            let (&count, ops) = part.split_first().unwrap_or((&0, &[]));
            let sequence = SequenceArgs {
                session,
                sequence: number as u32 + 1,
                slot: 0,
                highest_slot: 0,
                cache_this: false,
            };
            let mut all = encoded(&[Args::Sequence(sequence)]);
            all.extend_from_slice(ops);
            let body = compound(u32::from(count) + 1, &all);
            if ask(&mut stream, record(call(number as u32, nfs_wire::PROC_COMPOUND), body)).await.is_none() {
                break;
            }
        }
        server.stop().await;
    });
}

pub(crate) fn session_seeds() -> Vec<Vec<u8>> {
    let parts = |compounds: &[Vec<Args>]| {
        joined(compounds.iter().map(|ops| [&[ops.len() as u8][..], &encoded(ops)].concat()))
    };
    let all: Vec<Vec<Args>> = stories().into_iter().flatten().collect();
    stories().iter().map(|story| parts(story)).chain([parts(&all)]).collect()
}

/// The same operations, without a session.
pub(crate) fn compound_seeds() -> Vec<Vec<u8>> {
    let bytes = |ops: &Vec<Args>| compound(ops.len() as u32, &encoded(ops)).into_bytes().to_vec();
    stories().iter().flatten().map(bytes).collect()
}

/// What a client does, request by request.
fn stories() -> Vec<Vec<Vec<Args>>> {
    let here = || [Args::Putrootfh(()), lookup("default")];
    let with = |ops: Vec<Args>| here().into_iter().chain(ops).collect::<Vec<Args>>();
    let current = Stateid::CURRENT;
    let data = Opaque(Bytes::from_static(b"some data"));
    let write = Args::Write(WriteArgs { stateid: current, offset: 5, stable: StableHow::Unstable, data });
    let wanted = Attributes::KNOWN;
    let file = || open("f");
    let lock = LockArgs {
        kind: LockType::Write,
        reclaim: false,
        offset: 0,
        length: u64::MAX,
        locker: Locker::New(OpenToLockOwner {
            open_seqid: 0,
            open_stateid: current,
            lock_seqid: 0,
            owner: owner("locker"),
        }),
    };
    let mode = Attributes { mode: Some(0o600), size: Some(100), ..Attributes::default() };
    let set = mode.to_fattr(&Bitmap::of(&[attr::MODE, attr::SIZE]));
    let directory = CreateArgs { kind: CreateType::Dir(()), name: component("d"), attrs: Fattr::default() };
    let symlink =
        CreateArgs { kind: CreateType::Lnk(component("f")), name: component("l"), attrs: Fattr::default() };
    let list = ReaddirArgs { cookie: 0, cookieverf: [0; 8], dircount: 1000, maxcount: 8192, request: wanted };
    let xattr = || component("a");
    vec![
        vec![
            with(vec![file(), Args::Getfh(()), Args::Getattr(GetattrArgs { request: wanted }), write]),
            with(vec![
                file(),
                Args::Read(ReadArgs { stateid: current, offset: 0, count: 4096 }),
                Args::Commit(CommitArgs { offset: 0, count: 0 }),
                Args::Close(CloseArgs { seqid: 0, stateid: current }),
            ]),
        ],
        vec![
            with(vec![file(), Args::Lock(lock)]),
            with(vec![
                lookup("f"),
                Args::Setattr(SetattrArgs { stateid: Stateid::ANONYMOUS, attrs: set.clone() }),
            ]),
            with(vec![lookup("f"), Args::Verify(VerifyArgs { attrs: set })]),
        ],
        vec![
            with(vec![Args::Create(directory)]),
            with(vec![Args::Create(symlink), Args::Readlink(())]),
            with(vec![Args::Readdir(list)]),
            with(vec![
                Args::Savefh(()),
                Args::Rename(RenameArgs { old: component("l"), new: component("m") }),
                Args::Remove(RemoveArgs { target: component("m") }),
            ]),
        ],
        vec![
            with(vec![
                file(),
                Args::Setxattr(SetxattrArgs {
                    option: SetXattrOption::Either,
                    name: xattr(),
                    value: Opaque(Bytes::from_static(b"v")),
                }),
                Args::Getxattr(GetxattrArgs { name: xattr() }),
                Args::Listxattrs(ListxattrsArgs { cookie: 0, maxcount: 1000 }),
                Args::Removexattr(RemovexattrArgs { name: xattr() }),
            ]),
            with(vec![
                file(),
                Args::Allocate(AllocateArgs { stateid: current, offset: 0, length: 1 << 20 }),
                Args::Seek(SeekArgs { stateid: current, offset: 0, what: DataContent::Hole }),
                Args::ReadPlus(ReadPlusArgs { stateid: current, offset: 0, count: 65_536 }),
                Args::Savefh(()),
                Args::Copy(CopyArgs {
                    src_stateid: current,
                    dst_stateid: current,
                    src_offset: 0,
                    dst_offset: 1 << 21,
                    count: 0,
                    consecutive: true,
                    synchronous: true,
                    source_server: List::default(),
                }),
            ]),
        ],
    ]
}

fn component(text: &'static str) -> Component {
    Opaque(Bytes::from(text))
}

fn owner(text: &'static str) -> StateOwner {
    StateOwner { clientid: 0, owner: Opaque(Bytes::from(text)) }
}

fn lookup(text: &'static str) -> Args {
    Args::Lookup(LookupArgs { name: component(text) })
}

fn open(text: &'static str) -> Args {
    Args::Open(OpenArgs {
        seqid: 0,
        share_access: 3,
        share_deny: 0,
        owner: owner("opener"),
        how: OpenHow::Create(CreateHow::Unchecked(Fattr::default())),
        claim: OpenClaim::Null(component(text)),
    })
}

fn exchange_id() -> Args {
    let owner = ClientOwner { verifier: [1; 8], ownerid: Opaque(Bytes::from_static(b"fuzzer")) };
    Args::ExchangeId(ExchangeIdArgs {
        owner,
        flags: 0,
        protect: StateProtect::None(()),
        impl_id: List::default(),
    })
}

/// EXCHANGE_ID, CREATE_SESSION and RECLAIM_COMPLETE.
async fn begin(stream: &mut TcpStream) -> SessionId {
    let Reply::ExchangeId(known) = alone(stream, exchange_id()).await else { panic!("not known") };
    let channel = ChannelAttrs {
        header_pad_size: 0,
        max_request_size: 1 << 20,
        max_response_size: 1 << 20,
        max_response_size_cached: 4096,
        max_operations: 256,
        max_requests: 1,
        rdma_ird: List::default(),
    };
    let args = CreateSessionArgs {
        clientid: known.clientid,
        sequence: known.sequence,
        flags: 0,
        fore: channel.clone(),
        back: channel,
        cb_program: 0,
        sec_parms: List::default(),
    };
    let Reply::CreateSession(created) = alone(stream, Args::CreateSession(args)).await else {
        panic!("no session")
    };
    created.session
}

async fn alone(stream: &mut TcpStream, args: Args) -> Reply {
    let body = compound(1, &encoded(&[args]));
    let reply = ask(stream, record(call(0, nfs_wire::PROC_COMPOUND), body)).await;
    let mut d = Decoder::new(reply.unwrap_or_default());
    let outcome = ReplyStatus::decode_success(&mut d)
        .and_then(|_| CompoundReply::decode(&mut d))
        .and_then(|_| decode_outcome(&mut d));
    match outcome {
        Ok((_, Ok(reply))) => reply,
        other => panic!("refused: {other:?}"),
    }
}

/// The reply to a record; none when the server closes.
async fn ask(stream: &mut TcpStream, record: Vec<u8>) -> Option<Bytes> {
    let answer = async {
        stream.write_all(&record).await.ok()?;
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.ok()?;
        let mut reply = vec![0; FragmentHeader::parse(header).length as usize];
        stream.read_exact(&mut reply).await.ok()?;
        Some(Bytes::from(reply))
    };
    match timeout(ANSWER, answer).await {
        Ok(reply) => reply,
        Err(_) => panic!("neither answered nor closed"),
    }
}

fn call(xid: u32, procedure: u32) -> Call {
    let machine = Opaque(Bytes::from_static(b"fuzzer"));
    let sys = AuthSys { stamp: 0, machine, uid: 0, gid: 0, gids: List::default() };
    Call { xid, program: PROGRAM, version: VERSION, procedure, credential: Credential::Sys(sys) }
}

fn encoded(ops: &[Args]) -> Vec<u8> {
    let mut e = Encoder::new();
    ops.iter().for_each(|args| args.encode(&mut e));
    e.into_bytes().to_vec()
}

fn compound(count: u32, ops: &[u8]) -> Encoder {
    let mut body = Encoder::new();
    CompoundArgs { tag: Opaque::default(), minor: 2, count }.encode(&mut body);
    body.fixed_opaque(ops);
    body
}

#[expect(clippy::expect_used, reason = "an input is not 2 GiB long")]
fn record(call: Call, body: Encoder) -> Vec<u8> {
    let mut e = Encoder::new();
    call.encode(&mut e);
    e.append(body);
    let header = FragmentHeader::whole(e.len()).expect("a short record");
    [&header[..], &e.into_bytes()].concat()
}

/// A server over an empty reference.
struct Running {
    listener: std::net::SocketAddr,
    trigger: serve::Trigger,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    #[expect(clippy::expect_used, reason = "without a server there is nothing to do")]
    async fn start() -> Running {
        let exports = ExportTable::new(vec![Export::default_filesystem()]).expect("a table");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server =
            Server::open(Arc::new(Model::new()), NfsConfig::new(exports, 1)).await.expect("a server");
        let (trigger, shutdown) = serve::shutdown();
        let task = tokio::spawn(async move { server.serve(listener, shutdown).await });
        Running { listener: address, trigger, task }
    }

    #[expect(clippy::expect_used, reason = "without a connection there is nothing to do")]
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.listener).await.expect("a connection")
    }

    /// A request that has panicked is in its task; the server goes on, and so it is looked for.
    async fn stop(self) {
        self.trigger.fire();
        assert!(self.task.await.is_ok(), "the server has panicked");
    }
}
