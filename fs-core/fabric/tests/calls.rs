//! Calls over every transport: replies, refusals, bounds, deadlines, ends.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use bytes::Bytes;
use fabric::{Client, FabricError, Handler, Limits, Peer, Query, Token, serve_tcp, serve_unix};
use serde::{Deserialize, Serialize};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

#[derive(Serialize, Deserialize)]
enum Ask {
    Echo(u64),
    /// Answered when the test opens the gate.
    Gate,
    /// As `Gate`, but takes no room.
    Wait,
    Large(u32),
}

impl Query for Ask {
    fn waits(&self) -> bool {
        matches!(self, Ask::Wait)
    }
}

struct Answers {
    gate: Semaphore,
    inside: AtomicUsize,
    most: AtomicUsize,
}

/// Counts who is inside, also when the work is stopped.
struct Inside<'a>(&'a Answers);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Answers {
    fn new() -> Arc<Answers> {
        Arc::new(Answers { gate: Semaphore::new(0), inside: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }

    async fn until_inside(&self, count: usize) {
        while self.inside.load(Ordering::SeqCst) != count {
            tokio::task::yield_now().await;
        }
    }
}

impl Handler<Ask, u64> for Answers {
    async fn handle(&self, _peer: &Peer, ask: Ask, payload: Bytes) -> (u64, Bytes) {
        let now = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _inside = Inside(self);
        match ask {
            Ask::Echo(number) => (number, payload),
            Ask::Large(bytes) => (0, vec![1; bytes as usize].into()),
            Ask::Gate | Ask::Wait => {
                self.gate.acquire().await.unwrap().forget();
                (1, payload)
            }
        }
    }
}

fn limits() -> Limits {
    Limits { in_flight: 4, waiting: 2, ..Limits::default() }
}

struct Served {
    answers: Arc<Answers>,
    client: Client<Ask, u64>,
    server: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// The same peer behind each transport.
async fn everywhere() -> Vec<Served> {
    let mut all = vec![];
    let dir = tempfile::tempdir().unwrap();
    let answers = Answers::new();
    let client = Client::in_process(answers.clone(), &limits());
    all.push(Served { answers, client, server: None, _dir: dir });

    let dir = tempfile::tempdir().unwrap();
    let answers = Answers::new();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(serve_unix(listener, "test", answers.clone(), limits(), pending()));
    let client = Client::connect_unix(&path, "test", limits()).await.unwrap();
    all.push(Served { answers, client, server: Some(server), _dir: dir });

    let dir = tempfile::tempdir().unwrap();
    let answers = Answers::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = Token::new([7; 32]);
    let server =
        tokio::spawn(serve_tcp(listener, token.clone(), "test", answers.clone(), limits(), pending()));
    let client = Client::connect_tcp(address, &token, "test", limits()).await.unwrap();
    all.push(Served { answers, client, server: Some(server), _dir: dir });
    all
}

#[tokio::test]
async fn replies_find_their_calls() {
    for served in everywhere().await {
        let calls = (0..200u64).map(|number| {
            let client = served.client.clone();
            tokio::spawn(async move {
                let payload = Bytes::from(vec![number as u8; (number * 100) as usize]);
                let (answer, back) = client.call(Ask::Echo(number), payload.clone(), None).await.unwrap();
                assert_eq!((answer, back), (number, payload));
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert!(served.answers.most.load(Ordering::SeqCst) <= 4, "never more under way than the limit");
    }
}

#[tokio::test]
async fn a_full_peer_still_lets_waiting_requests_pass() {
    for served in everywhere().await {
        let call = |ask| {
            let client = served.client.clone();
            tokio::spawn(async move { client.call(ask, Bytes::new(), None).await })
        };
        let waiting = call(Ask::Wait);
        served.answers.until_inside(1).await;
        let gates: Vec<_> = (0..6).map(|_| call(Ask::Gate)).collect();
        served.answers.until_inside(5).await;
        served.answers.gate.add_permits(7);
        for gate in gates {
            gate.await.unwrap().unwrap();
        }
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn giving_up_stops_what_waits_and_only_that() {
    for served in everywhere().await {
        let client = served.client.clone();
        let waiting = tokio::spawn(async move { client.call(Ask::Wait, Bytes::new(), None).await });
        served.answers.until_inside(1).await;
        waiting.abort();
        served.answers.until_inside(0).await;

        let deadline = Some(Duration::from_millis(20));
        let late = served.client.call(Ask::Gate, Bytes::new(), deadline).await;
        assert!(matches!(late, Err(FabricError::TimedOut)));
        served.answers.until_inside(1).await;
        served.answers.gate.add_permits(1);
        served.answers.until_inside(0).await;
        let (answer, _) = served.client.call(Ask::Echo(5), Bytes::new(), None).await.unwrap();
        assert_eq!(answer, 5, "a late reply is nobody else's");
    }
}

#[tokio::test]
async fn the_end_of_a_peer_ends_its_calls() {
    for served in everywhere().await {
        let Some(server) = served.server else { continue };
        let client = served.client.clone();
        let call = tokio::spawn(async move { client.call(Ask::Gate, Bytes::new(), None).await });
        served.answers.until_inside(1).await;
        server.abort();
        assert!(matches!(call.await.unwrap(), Err(FabricError::Closed)));
        let after = served.client.call(Ask::Echo(1), Bytes::new(), None).await;
        assert!(matches!(after, Err(FabricError::Closed)));
        assert!(served.client.is_closed());
    }
}

#[tokio::test]
async fn too_much_is_refused_and_harms_nothing() {
    for served in everywhere().await.into_iter().skip(1) {
        let limit = Limits::default().payload_bytes;
        let large = vec![0; limit as usize + 1].into();
        let over = served.client.call(Ask::Echo(1), large, None).await;
        assert!(matches!(over, Err(FabricError::TooLarge { .. })));
        let over = served.client.call(Ask::Large(limit + 1), Bytes::new(), None).await;
        assert!(matches!(over, Err(FabricError::Protocol(_))));
        let waits: Vec<_> = (0..2)
            .map(|_| {
                let client = served.client.clone();
                tokio::spawn(async move { client.call(Ask::Wait, Bytes::new(), None).await })
            })
            .collect();
        served.answers.until_inside(2).await;
        let third = served.client.call(Ask::Wait, Bytes::new(), None).await;
        assert!(matches!(third, Err(FabricError::Busy)));
        served.answers.gate.add_permits(2);
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        served.client.call(Ask::Large(limit), Bytes::new(), None).await.unwrap();
    }
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (right, wrong) = (Token::new([7; 32]), Token::new([8; 32]));
    let server =
        tokio::spawn(serve_tcp(listener, right.clone(), "test", Answers::new(), limits(), pending()));
    let refused = Client::<Ask, u64>::connect_tcp(address, &wrong, "test", limits()).await;
    assert!(matches!(refused, Err(FabricError::Refused(_))));
    let refused = Client::<Ask, u64>::connect_tcp(address, &right, "other", limits()).await;
    assert!(matches!(refused, Err(FabricError::Refused(_))));
    Client::<Ask, u64>::connect_tcp(address, &right, "test", limits()).await.unwrap();
    server.abort();
}

#[tokio::test]
async fn nonsense_ends_only_its_own_connection() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(serve_unix(listener, "test", Answers::new(), limits(), pending()));
    let client = Client::<Ask, u64>::connect_unix(&path, "test", limits()).await.unwrap();
    for length in [1, 27, 28, 100, 5000] {
        let mut stranger = UnixStream::connect(&path).await.unwrap();
        // The peer may have closed before all is written.
        let _ = stranger.write_all(&vec![0x5a; length]).await;
    }
    assert_eq!(client.call(Ask::Echo(3), Bytes::new(), None).await.unwrap().0, 3);
    server.abort();
}
