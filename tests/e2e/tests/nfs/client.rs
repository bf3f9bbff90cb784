//! A server in this process and a client that says exactly what a test wants to be said.

use bytes::Bytes;
use model::Model;
use nfs::{ExportTable, NfsConfig, Server};
use nfs_wire::*;
use serve::{Export, Squash};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use xdr::record::FragmentHeader;
use xdr::rpc::{AuthSys, Call, Credential, ReplyStatus};
use xdr::{Decode, Decoder, Encode, Encoder, List, Opaque};

/// The program that the server calls.
const PROGRAM_OF_CALLS: u32 = 0x4000_0000;

/// What an operation has answered.
pub(crate) type Outcome = Result<Reply, Status>;

/// A running server.
pub(crate) struct Running<V = Model> {
    pub(crate) address: SocketAddr,
    pub(crate) server: Server<V>,
    trigger: serve::Trigger,
    task: JoinHandle<()>,
}

impl<V> Running<V> {
    pub(crate) async fn stop(self) {
        self.trigger.fire();
        self.task.await.unwrap();
    }
}

pub(crate) fn export(path: &str) -> Export {
    Export { squash: Squash::None, ..Export::new(path, "default") }
}

/// One export.
pub(crate) fn config(instance: u64) -> NfsConfig {
    NfsConfig::new(ExportTable::new(vec![export("/default")]).unwrap(), instance)
}

pub(crate) async fn start<V: vfs::Vfs>(files: &Arc<V>, config: NfsConfig) -> Running<V> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::open(Arc::clone(files), config).await.unwrap();
    let (trigger, shutdown) = serve::shutdown();
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve(listener, shutdown).await });
    Running { address, server, trigger, task }
}

/// A server over an empty reference.
pub(crate) async fn serve_empty() -> Running {
    start(&Arc::new(Model::new()), config(1)).await
}

pub(crate) struct Client {
    stream: TcpStream,
    xid: u32,
    pub(crate) uid: u32,
    pub(crate) gids: Vec<u32>,
    pub(crate) minor: u32,
    pub(crate) clientid: u64,
    pub(crate) session: SessionId,
    pub(crate) sequence: u32,
    /// What it opened last.
    pub(crate) file: Option<FileHandle>,
    /// What the server has called it for, and it has answered.
    pub(crate) called: VecDeque<CbArgs>,
    /// The change attribute that it says files have that are delegated to it.
    pub(crate) change: u64,
}

pub(crate) fn channel() -> ChannelAttrs {
    ChannelAttrs {
        header_pad_size: 0,
        max_request_size: 1 << 21,
        max_response_size: 1 << 21,
        max_response_size_cached: 4096,
        max_operations: 32,
        max_requests: 64,
        rdma_ird: List::default(),
    }
}

impl Client {
    /// A connection and nothing more.
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            xid: 0,
            uid: 0,
            gids: Vec::new(),
            minor: 2,
            clientid: 0,
            session: [0; 16],
            sequence: 0,
            file: None,
            called: VecDeque::new(),
            change: 0,
        }
    }

    /// The same client on another connection, perhaps to another life of the server.
    pub(crate) async fn reconnect(&self, address: SocketAddr) -> Client {
        let Client { uid, minor, clientid, session, sequence, .. } = *self;
        let file = self.file.clone();
        Client { uid, minor, clientid, session, sequence, file, ..Client::connect(address).await }
    }

    /// A client that has a session and nothing to reclaim.
    pub(crate) async fn new(address: SocketAddr, owner: &'static str) -> Client {
        let mut client = Client::connect(address).await;
        client.introduce(owner, 1).await;
        let done = client.run(vec![Args::ReclaimComplete(ReclaimCompleteArgs { one_fs: false })]).await;
        assert_eq!(done, [Ok(Reply::ReclaimComplete(()))]);
        client
    }

    /// EXCHANGE_ID and CREATE_SESSION.
    pub(crate) async fn introduce(&mut self, owner: impl Into<Bytes>, verifier: u8) {
        let Reply::ExchangeId(known) = self.exchange_id(owner, verifier).await.unwrap() else { panic!() };
        self.clientid = known.clientid;
        let Reply::CreateSession(created) = self.create_session(known.sequence).await.unwrap() else {
            panic!()
        };
        self.session = created.session;
        self.sequence = 0;
    }

    pub(crate) async fn exchange_id(&mut self, owner: impl Into<Bytes>, verifier: u8) -> Outcome {
        let owner = ClientOwner { verifier: [verifier; 8], ownerid: Opaque(owner.into()) };
        let args =
            ExchangeIdArgs { owner, flags: 0, protect: StateProtect::None(()), impl_id: List::default() };
        self.alone(Args::ExchangeId(args)).await
    }

    /// Whether the server answers on this connection.
    pub(crate) async fn is_served(&mut self) -> bool {
        let mut body = Encoder::new();
        CompoundArgs { tag: Opaque::default(), minor: self.minor, count: 0 }.encode(&mut body);
        self.call(body).await.is_some()
    }

    /// One that is persistent, as clients of today ask for.
    pub(crate) async fn create_session(&mut self, sequence: u32) -> Outcome {
        self.create_session_with(sequence, 1).await
    }

    pub(crate) async fn create_session_with(&mut self, sequence: u32, flags: u32) -> Outcome {
        let args = CreateSessionArgs {
            clientid: self.clientid,
            sequence,
            flags,
            fore: channel(),
            back: channel(),
            cb_program: PROGRAM_OF_CALLS,
            sec_parms: List::default(),
        };
        self.alone(Args::CreateSession(args)).await
    }

    /// The only operation of a request, without SEQUENCE.
    pub(crate) async fn alone(&mut self, args: Args) -> Outcome {
        self.compound(&[args]).await.remove(0)
    }

    pub(crate) fn sequence_args(&self) -> SequenceArgs {
        SequenceArgs {
            session: self.session,
            sequence: self.sequence,
            slot: 0,
            highest_slot: 0,
            cache_this: false,
        }
    }

    /// Operations in the session, up to the first that fails; without the answer to SEQUENCE.
    pub(crate) async fn run(&mut self, ops: Vec<Args>) -> Vec<Outcome> {
        self.sequence += 1;
        self.again(ops).await
    }

    /// As [`Client::run`], on the slot's last number: a retry.
    pub(crate) async fn again(&mut self, ops: Vec<Args>) -> Vec<Outcome> {
        let mut all = vec![Args::Sequence(self.sequence_args())];
        all.extend(ops);
        let mut outcomes = self.compound(&all).await;
        if outcomes[0].is_ok() {
            let _ = outcomes.remove(0);
        } else {
            self.sequence -= 1;
        }
        outcomes
    }

    /// The last outcome of operations on the file or directory at `path` of the default export.
    pub(crate) async fn at(&mut self, path: &[&str], ops: Vec<Args>) -> Outcome {
        let mut all = walk(path);
        all.extend(ops);
        self.run(all).await.pop().unwrap()
    }

    pub(crate) async fn compound(&mut self, ops: &[Args]) -> Vec<Outcome> {
        let mut body = Encoder::new();
        let head = CompoundArgs { tag: Opaque::default(), minor: self.minor, count: ops.len() as u32 };
        head.encode(&mut body);
        ops.iter().for_each(|args| args.encode(&mut body));
        let mut d = self.call(body).await.expect("a reply");
        let head = CompoundReply::decode(&mut d).unwrap();
        let outcomes: Vec<Outcome> =
            (0..head.count).map(|_| decode_outcome(&mut d).expect("a well-formed result").1).collect();
        assert_eq!(d.remaining(), 0, "nothing follows the results");
        let last = outcomes.last().map_or(head.status, |outcome| match outcome {
            Ok(reply) => reply.status(),
            Err(status) => *status,
        });
        assert_eq!(head.status, last);
        outcomes
    }

    /// Sends the arguments of a COMPOUND as they are; `None` when the server closes.
    pub(crate) async fn call(&mut self, body: Encoder) -> Option<Decoder> {
        self.xid += 1;
        let sys = AuthSys {
            stamp: 0,
            machine: Opaque(Bytes::from_static(b"test")),
            uid: self.uid,
            gid: self.uid,
            gids: List(self.gids.clone()),
        };
        let call = Call {
            xid: self.xid,
            program: PROGRAM,
            version: VERSION,
            procedure: PROC_COMPOUND,
            credential: Credential::Sys(sys),
        };
        let mut record = Encoder::new();
        call.encode(&mut record);
        record.append(body);
        self.send(&FragmentHeader::whole(record.len()).unwrap()).await;
        self.send(&record.into_bytes()).await;
        let mut d = loop {
            let record = self.receive().await?;
            if !self.is_called(&record).await {
                break Decoder::new(record);
            }
        };
        let (xid, accepted) = ReplyStatus::decode_success(&mut d).unwrap();
        assert_eq!(xid, self.xid);
        accepted.then_some(d).or_else(|| Some(Decoder::new(Bytes::new())))
    }

    /// What the server calls it for next.
    pub(crate) async fn next_call(&mut self) -> CbArgs {
        while self.called.is_empty() {
            let record = self.receive().await.expect("a call");
            assert!(self.is_called(&record).await, "a reply that nobody waits for");
        }
        self.called.pop_front().unwrap()
    }

    /// Answers `record` if it is a call.
    async fn is_called(&mut self, record: &Bytes) -> bool {
        let mut arguments = Decoder::new(record.clone());
        let Ok(call) = Call::decode(&mut arguments) else { return false };
        let args = CbCompoundArgs::decode(&mut arguments).unwrap();
        assert_eq!((call.program, call.version, args.minor), (PROGRAM_OF_CALLS, 1, self.minor));
        let mut results = Vec::new();
        for op in args.ops.0 {
            results.push(Ok(match &op {
                CbArgs::Sequence(args) => CbReply::Sequence(CbSequenceOk {
                    session: args.session,
                    sequence: args.sequence,
                    slot: args.slot,
                    highest_slot: 0,
                    target_highest_slot: 0,
                }),
                CbArgs::Recall(_) => CbReply::Recall,
                CbArgs::Getattr(args) => {
                    let attributes =
                        Attributes { change: Some(self.change), size: Some(0), ..Attributes::default() };
                    CbReply::Getattr(attributes.to_fattr(&args.request))
                }
            }));
            if !matches!(op, CbArgs::Sequence(_)) {
                self.called.push_back(op);
            }
        }
        let mut reply = Encoder::new();
        ReplyStatus::Success.encode(call.xid, &mut reply);
        CbCompoundReply { status: Status::Ok, results }.encode(&mut reply);
        self.send(&FragmentHeader::whole(reply.len()).unwrap()).await;
        self.send(&reply.into_bytes()).await;
        true
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A server that has closed shows when its reply is missing.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next record; `None` when the server has closed.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).await.ok()?;
        let header = FragmentHeader::parse(header);
        assert!(header.last);
        let mut record = vec![0; header.length as usize];
        self.stream.read_exact(&mut record).await.ok()?;
        Some(Bytes::from(record))
    }

    /// Opens a file of the default export's root, creating it, for reading and writing.
    pub(crate) async fn open(&mut self, name: &'static str, owner: &'static str) -> (FileHandle, Stateid) {
        let mut ops = walk(&[]);
        ops.push(Args::Open(open_args(name, owner, 3, 0)));
        ops.push(Args::Getfh(()));
        let outcomes = self.run(ops).await;
        let [.., Ok(Reply::Open(open)), Ok(Reply::Getfh(handle))] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        self.file = Some(handle.object.clone());
        (handle.object.clone(), open.stateid)
    }

    pub(crate) async fn on(&mut self, handle: &FileHandle, args: Args) -> Outcome {
        self.run(vec![putfh(handle), args]).await.pop().unwrap()
    }
}

pub(crate) fn component(name: &str) -> Component {
    Opaque(Bytes::copy_from_slice(name.as_bytes()))
}

pub(crate) fn lookup(name: &str) -> Args {
    Args::Lookup(LookupArgs { name: component(name) })
}

pub(crate) fn putfh(handle: &FileHandle) -> Args {
    Args::Putfh(PutfhArgs { object: handle.clone() })
}

/// To a file of the default export.
pub(crate) fn walk(path: &[&str]) -> Vec<Args> {
    let mut ops = vec![Args::Putrootfh(()), lookup("default")];
    ops.extend(path.iter().map(|name| lookup(name)));
    ops
}

pub(crate) fn mkdir(name: &str) -> Args {
    let attrs = Attributes { mode: Some(0o755), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
    Args::Create(CreateArgs { kind: CreateType::Dir(()), name: component(name), attrs })
}

pub(crate) fn open_args(name: &str, owner: &'static str, access: u32, deny: u32) -> OpenArgs {
    let attrs = Attributes { mode: Some(0o644), ..Attributes::default() }.to_fattr(&Attributes::KNOWN);
    OpenArgs {
        seqid: 0,
        share_access: access,
        share_deny: deny,
        owner: StateOwner { clientid: 0, owner: Opaque(Bytes::from(owner)) },
        how: OpenHow::Create(CreateHow::Unchecked(attrs)),
        claim: OpenClaim::Null(component(name)),
    }
}

pub(crate) fn write(stateid: Stateid, offset: u64, data: &[u8]) -> Args {
    let data = Opaque(Bytes::copy_from_slice(data));
    Args::Write(WriteArgs { stateid, offset, stable: StableHow::FileSync, data })
}

pub(crate) fn read(stateid: Stateid, offset: u64, count: u32) -> Args {
    Args::Read(ReadArgs { stateid, offset, count })
}

pub(crate) fn getattr(numbers: &[u32]) -> Args {
    Args::Getattr(GetattrArgs { request: Bitmap::of(numbers) })
}

pub(crate) fn attributes(outcome: Outcome) -> Attributes {
    let Ok(Reply::Getattr(reply)) = outcome else { panic!("{outcome:?}") };
    Attributes::from_fattr(&reply.attrs).unwrap()
}

/// LOCK of an owner's first range on a file.
pub(crate) fn lock(open: Stateid, owner: &'static str, kind: LockType, offset: u64, length: u64) -> Args {
    let new = OpenToLockOwner {
        open_seqid: 0,
        open_stateid: open,
        lock_seqid: 0,
        owner: StateOwner { clientid: 0, owner: Opaque(Bytes::from(owner)) },
    };
    Args::Lock(LockArgs { kind, reclaim: false, offset, length, locker: Locker::New(new) })
}
