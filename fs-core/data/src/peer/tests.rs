//! A drive over TCP and over a Unix socket: the same answers, refusals, ends and returns.

use super::wire::{Expected, Tell};
use super::*;
use bytes::Bytes;
use drive::chunk::block_crcs;
use drive::service::LIST_MAX;
use drive::{ChunkData, ChunkInfo, ChunkKey, DriveStat, Incarnation, Purpose, Shape, WriteChunk, Writer};
use env::SeededRandom;
use env::sim::SimDisk;
use fabric::{Address, Token};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use types::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX};
use types::{ChunkId, DriveId, GroupId, StripeId};

const CLUSTER: [u8; 16] = [7; 16];
const DRIVE: DriveId = DriveId(3);
const SHAPE: Shape = Shape { data: 1, parity: 0, cells: 1, stripe_length: 1 << 20 };

fn token() -> Token {
    Token::new([9; 32])
}

fn key(stripe: u64) -> ChunkKey {
    ChunkKey { group: GroupId(0), chunk: ChunkId { stripe: StripeId(stripe), index: 0 } }
}

fn chunk(stripe: u64, bytes: usize) -> WriteChunk {
    let data = Bytes::from(vec![stripe as u8; bytes]);
    let crcs = block_crcs(key(stripe).chunk, 0, &data);
    let (writer, purpose) = (Writer { id: 1, epoch: 1 }, Purpose::Ordinary);
    WriteChunk { key: key(stripe), shape: SHAPE, writer, data, crcs, replace: false, purpose }
}

async fn store(disk: &SimDisk) -> Arc<ChunkStore> {
    let random = SeededRandom::new(1);
    ChunkStore::format(&disk.file(), DRIVE, Incarnation([1; 16]), &random).await.unwrap();
    Arc::new(ChunkStore::open(disk.file(), &random).await.unwrap())
}

/// A drive that is served until this is stopped.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Served {
    async fn at(address: &str, store: Arc<ChunkStore>) -> Served {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let end = async move { drop(stopped.await) };
            serve_drive_tcp(store, &CLUSTER, listener, token(), end).await;
        });
        Served { address, stop, task }
    }

    fn peer(&self) -> RemoteDrive {
        RemoteDrive::new(Address::Tcp(self.address, token()), &CLUSTER, DRIVE)
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap();
    }
}

fn requests() -> Vec<DriveRequest> {
    let (writer, data) = (Writer { id: 1, epoch: 1 }, chunk(1, CHUNK_BYTES_MAX));
    let (mut wrong, mut late) = (chunk(4, BLOCK_BYTES), chunk(5, BLOCK_BYTES));
    wrong.crcs.push(0);
    late.writer.epoch = 0;
    vec![
        DriveRequest::Fence { writer },
        DriveRequest::Write(data),
        DriveRequest::Write(chunk(2, BLOCK_BYTES)),
        DriveRequest::Write(wrong),
        DriveRequest::Write(late),
        DriveRequest::Read { key: key(1), first: 0, count: 256 },
        DriveRequest::Read { key: key(1), first: 255, count: 1 },
        DriveRequest::Read { key: key(1), first: 255, count: 2 },
        DriveRequest::Read { key: key(9), first: 0, count: 1 },
        DriveRequest::Verify { key: key(2) },
        DriveRequest::List { from: ChunkKey::FIRST, limit: u32::MAX },
        DriveRequest::List { from: key(2), limit: 1 },
        DriveRequest::Free { keys: vec![key(1), key(9)], writer },
        DriveRequest::Free { keys: vec![key(1); 513], writer },
        DriveRequest::Stat,
    ]
}

#[tokio::test]
async fn a_drive_behind_a_wire_answers_as_one_in_this_process() {
    let (near, far) = (SimDisk::new(1, 16 << 20), SimDisk::new(1, 16 << 20));
    let served = Served::at("127.0.0.1:0", store(&far).await).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive.sock");
    let (behind_socket, listener) =
        (store(&SimDisk::new(1, 16 << 20)).await, UnixListener::bind(&path).unwrap());
    let socket = tokio::spawn(async move {
        serve_drive_unix(behind_socket, &CLUSTER, listener, std::future::pending()).await;
    });
    let peers: [Box<dyn ChunkPeer>; 3] = [
        Box::new(store(&near).await),
        Box::new(served.peer()),
        Box::new(RemoteDrive::new(Address::Unix(path), &CLUSTER, DRIVE)),
    ];
    for request in requests() {
        let mut expected = peers[0].call(request.clone()).await;
        // Behind a wire that is for whoever reads.
        if let Ok(DriveReply::Data(found)) = &mut expected {
            found.verified = false;
        }
        for peer in &peers[1..] {
            assert_eq!(peer.call(request.clone()).await, expected);
        }
    }
    drop(peers);
    served.stop().await;
    socket.abort();
}

#[tokio::test]
async fn a_drive_answers_for_itself_alone() {
    let served = Served::at("127.0.0.1:0", store(&SimDisk::new(1, 8 << 20)).await).await;
    let peer = |token: Token, cluster, drive| {
        RemoteDrive::new(Address::Tcp(served.address, token), &cluster, drive).call(DriveRequest::Stat)
    };
    assert!(peer(token(), CLUSTER, DRIVE).await.is_ok());
    let strangers = [
        peer(Token::new([8; 32]), CLUSTER, DRIVE),
        peer(token(), [8; 16], DRIVE),
        peer(token(), CLUSTER, DriveId(4)),
    ];
    for stranger in strangers {
        assert_eq!(stranger.await, Err(DriveError::Closed));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_drive_that_goes_away_is_out_of_reach_and_found_again() {
    let (disk, writer) = (SimDisk::new(1, 8 << 20), Writer { id: 1, epoch: 1 });
    let there = store(&disk).await;
    let served = Served::at("127.0.0.1:0", there.clone()).await;
    let (peer, address) = (served.peer(), served.address);
    peer.call(DriveRequest::Write(chunk(1, BLOCK_BYTES))).await.unwrap();
    // A device that hangs: the call is cut off with the connection, and may have been carried out.
    disk.set_faults(|faults| faults.delay = Duration::from_millis(300));
    let hanging = tokio::spawn(peer.call(DriveRequest::Write(chunk(2, BLOCK_BYTES))));
    while there.stat().free == there.stat().total - 2 * BLOCK_BYTES as u64 {
        tokio::task::yield_now().await;
    }
    served.stop().await;
    assert_eq!(hanging.await.unwrap(), Err(DriveError::Closed));
    for _ in 0..3 {
        assert_eq!(peer.call(DriveRequest::Stat).await, Err(DriveError::Closed));
    }
    disk.set_faults(|faults| faults.delay = Duration::ZERO);
    let served = Served::at(&address.to_string(), there).await;
    // What was received has been finished, and may be asked for again.
    peer.call(DriveRequest::Fence { writer }).await.unwrap();
    let again = loop {
        match peer.call(DriveRequest::Write(chunk(2, BLOCK_BYTES))).await {
            Err(DriveError::Busy) => tokio::time::sleep(Duration::from_millis(1)).await,
            outcome => break outcome,
        }
    };
    assert_eq!(again, Ok(DriveReply::Done));
    served.stop().await;
}

#[test]
fn answers_that_do_not_fit_their_questions_are_not_believed() {
    let info = |stripe| ChunkInfo { key: key(stripe), shape: SHAPE, blocks: 1 };
    let block = || Bytes::from(vec![0; BLOCK_BYTES]);
    let of = |request: &DriveRequest, reply: Tell, payload: Bytes| Expected::of(request).join(reply, payload);
    let refused = |request: &DriveRequest, reply, payload| {
        assert!(matches!(of(request, Ok(reply), payload), Err(DriveError::Failed(_))), "{request:?}");
    };
    let read = DriveRequest::Read { key: key(1), first: 0, count: 1 };
    let data = |stripe, crcs| {
        DriveReply::Data(ChunkData { info: info(stripe), data: Bytes::new(), crcs, verified: false })
    };
    assert!(of(&read, Ok(data(1, vec![0])), block()).is_ok());
    refused(&read, data(1, vec![0]), Bytes::new());
    refused(&read, data(1, vec![0, 0]), block());
    refused(&read, data(1, vec![0, 0]), vec![0; 2 * BLOCK_BYTES].into());
    refused(&read, data(2, vec![0]), block());
    refused(&read, DriveReply::Done, Bytes::new());
    let list = DriveRequest::List { from: key(2), limit: 2 };
    assert!(of(&list, Ok(DriveReply::Chunks(vec![info(2), info(3)])), Bytes::new()).is_ok());
    refused(&list, DriveReply::Chunks(vec![info(1)]), Bytes::new());
    refused(&list, DriveReply::Chunks(vec![info(3), info(3)]), Bytes::new());
    refused(&list, DriveReply::Chunks(vec![info(3), info(2)]), Bytes::new());
    refused(&list, DriveReply::Chunks(vec![info(2), info(3), info(4)]), Bytes::new());
    refused(&list, DriveReply::Chunks(vec![ChunkInfo { blocks: 0, ..info(2) }]), Bytes::new());
    refused(&list, DriveReply::Chunks(vec![info(2)]), block());
    let all = DriveRequest::List { from: ChunkKey::FIRST, limit: u32::MAX };
    let many = (0..=LIST_MAX as u64).map(info).collect();
    refused(&all, DriveReply::Chunks(many), Bytes::new());
    let stat = DriveStat { total: 8, free: 4, longest: 4, ..DriveStat::default() };
    assert!(of(&DriveRequest::Stat, Ok(DriveReply::Stat(stat)), Bytes::new()).is_ok());
    refused(&DriveRequest::Stat, DriveReply::Stat(DriveStat { free: 9, ..stat }), Bytes::new());
    refused(&DriveRequest::Stat, DriveReply::Stat(DriveStat { total: u64::MAX, ..stat }), Bytes::new());
    let verify = DriveRequest::Verify { key: key(1) };
    refused(&verify, DriveReply::Whole(info(2)), Bytes::new());
    assert_eq!(of(&verify, Err(DriveError::NotFound), Bytes::new()), Err(DriveError::NotFound));
}

#[test]
fn data_travel_beside_the_small_part_and_nowhere_else() {
    let write = DriveRequest::Write(chunk(1, CHUNK_BYTES_MAX));
    let DriveRequest::Write(WriteChunk { data, .. }) = &write else { unreachable!() };
    let at = data.as_ptr();
    let (ask, payload) = wire::split_request(write.clone());
    assert_eq!(payload.as_ptr(), at, "not copied");
    let small = postcard::to_stdvec(&ask).unwrap();
    assert!(small.len() < 1500, "{} bytes", small.len());
    assert_eq!(wire::join_request(ask, payload.clone()), Ok(write.clone()));
    let (stat, _) = wire::split_request(DriveRequest::Stat);
    assert!(matches!(wire::join_request(stat, payload.clone()), Err(DriveError::Invalid(_))));
    assert!(matches!(wire::join_request(wire::Ask(write), payload), Err(DriveError::Invalid(_))));
}
