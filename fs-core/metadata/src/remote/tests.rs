//! A view from afar reads as the view that it is of.

use super::slowly::far_away;
use super::wire::{Ask, Found, Tell, Want};
use super::*;
use crate::host::Unlocked;
use crate::{Answer, Locking, Member, MetadataError, Pending, Record, ShardView, TxId, UnderWay};
use bytes::Bytes;
use fabric::{Address, Handler, Peer, Token};
use map::{MapError, MemoryMap, OrderedMap, OrderedMapMut, Visit};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use types::ShardId;

/// A map with locks that does not change by itself.
#[derive(Clone, Default)]
struct Fixed {
    map: Arc<Mutex<Arc<MemoryMap>>>,
    pending: Arc<Pending>,
    /// Views that are there.
    views: Arc<AtomicUsize>,
}

struct FixedView {
    of: Fixed,
    map: Arc<MemoryMap>,
}

impl FixedView {
    fn locked(&self) -> Unlocked<'_> {
        Unlocked { below: &*self.map, pending: &self.of.pending, shard: ShardId(3), own: None }
    }
}

impl Drop for FixedView {
    fn drop(&mut self) {
        self.of.views.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ShardView for FixedView {}

impl OrderedMap for FixedView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, MapError> {
        self.locked().get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.locked().scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), MapError> {
        self.locked().scan_back(from, to, visit)
    }
}

impl Member for Fixed {
    type View = FixedView;

    async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        if command.is_empty() { Err(MetadataError::Closed) } else { Ok(command) }
    }

    async fn tell(&self, record: Record) -> Result<Answer, MetadataError> {
        Ok(Answer::Committed(record.encode().unwrap()))
    }

    fn view(&self, _: Locking) -> Result<FixedView, MetadataError> {
        self.views.fetch_add(1, Ordering::SeqCst);
        Ok(FixedView { of: self.clone(), map: self.map.lock().clone() })
    }

    async fn under_way(&self) -> Result<UnderWay, MetadataError> {
        Ok(UnderWay::from(&*self.pending))
    }

    async fn ended(&self, _: TxId) -> Result<(), MetadataError> {
        std::future::pending().await
    }
}

impl Fixed {
    fn put(&self, key: &[u8], value: &[u8]) {
        Arc::make_mut(&mut *self.map.lock()).put(key, Bytes::copy_from_slice(value));
    }

    async fn until_views(&self, count: usize) {
        while self.views.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Reads until nothing is missing any more; also how often something was.
async fn read<T>(
    view: &RemoteView,
    read: impl Fn(&dyn OrderedMap) -> Result<T, MapError>,
) -> (Result<T, MapError>, usize) {
    for round in 0.. {
        match read(view) {
            Err(MapError::Absent) => match view.fetch().await {
                Ok(fetched) => assert!(fetched, "something was missing"),
                Err(error) => return (Err(error), round),
            },
            outcome => return (outcome, round),
        }
    }
    unreachable!()
}

#[derive(Clone, Debug)]
enum Question {
    Get(u8),
    Scan(u8, u8, usize, bool),
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        (0u8..40).prop_map(Question::Get),
        (0u8..41, 0u8..41, 1usize..9, any::<bool>())
            .prop_map(|(from, to, limit, ascending)| Question::Scan(from, to, limit, ascending)),
    ]
}

/// Everything that one hears who asks these, one after the other.
fn heard(map: &dyn OrderedMap, questions: &[Question]) -> Result<Vec<(u8, Option<Bytes>)>, MapError> {
    let mut heard = Vec::new();
    for question in questions {
        match *question {
            Question::Get(key) => heard.push((key, map.get(&[key])?)),
            Question::Scan(from, to, limit, ascending) => {
                let mut left = limit;
                let mut visit = |key: &[u8], value: &[u8]| {
                    heard.push((key[0], Some(Bytes::copy_from_slice(value))));
                    left -= 1;
                    left > 0
                };
                match ascending {
                    true => map.scan(&[from], &[to], &mut visit)?,
                    false => map.scan_back(&[from], &[to], &mut visit)?,
                }
            }
        }
    }
    Ok(heard)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is asked in whatever order: the same answers, and the same locks.
    #[test]
    fn a_view_from_afar_reads_as_one_from_near(
        there in prop::collection::vec(0u8..40, 0..30),
        locked in prop::collection::vec(0u8..40, 0..3),
        asked in prop::collection::vec(prop::collection::vec(question(), 1..5), 1..5),
    ) {
        let mut fixed = Fixed::default();
        there.iter().for_each(|key| fixed.put(&[*key], &[*key, 1]));
        fixed.pending = Arc::new(crate::host::pending_of(&locked));
        let near = fixed.view(Locking::AllOthers(None)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let shard = far_away(fixed.clone(), || Duration::from_micros(50));
            let far = shard.view(Locking::AllOthers(None)).unwrap();
            far.open().await.unwrap();
            // What comes later is not in the view.
            (0..40).for_each(|key| fixed.put(&[key], b"later"));
            for questions in &asked {
                let expected = heard(&near, questions);
                let (answer, rounds) = read(&far, |map| heard(map, questions)).await;
                assert_eq!(answer, expected);
                assert!(rounds <= 9 * questions.len(), "{rounds} rounds");
            }
        });
    }
}

/// Keys as of inodes of one slot.
fn key(number: u32) -> Vec<u8> {
    [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 16][..], &number.to_be_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn what_is_read_together_comes_together() {
    let fixed = Fixed::default();
    (0..1000).for_each(|number| fixed.put(&key(number), &[7; 100]));
    let shard = far_away(fixed.clone(), || Duration::from_micros(50));
    let look = || shard.view(Locking::Nobody).unwrap();
    let (one, rounds) = read(&look(), |map| map.get(&key(5))).await;
    assert_eq!((one.unwrap().map(|value| value.len()), rounds), (Some(100), 1));
    let all = |map: &dyn OrderedMap| (0..1000).try_for_each(|number| map.get(&key(number)).map(drop));
    let (_, rounds) = read(&look(), all).await;
    assert!(rounds <= 10, "{rounds} rounds for 1000 keys");
    let (_, rounds) = read(&look(), |map| map.scan(&key(0), &key(1000), &mut |_, _| true)).await;
    assert_eq!(rounds, 2, "few, and all the others");
    let large = |map: &dyn OrderedMap| {
        let mut sum = 0;
        map.scan_back(&key(0), &key(9000), &mut |_, value| {
            sum += value.len();
            true
        })?;
        Ok(sum)
    };
    (1000..9000).for_each(|number| fixed.put(&key(number), &[7; 100]));
    let (sum, rounds) = read(&look(), large).await;
    assert_eq!((sum, rounds), (Ok(900_000), 6));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_reads_too_much_says_so() {
    let fixed = Fixed::default();
    (0..300).for_each(|number| fixed.put(&key(number), &vec![7; 300 << 10]));
    let shard = far_away(fixed, || Duration::ZERO);
    let view = shard.view(Locking::Nobody).unwrap();
    let (all, _) = read(&view, |map| map.scan(&key(0), &key(300), &mut |_, _| true)).await;
    assert!(matches!(all, Err(MapError::Away(_))), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn views_end_with_their_readers_and_when_there_are_too_many() {
    let fixed = Fixed::default();
    let shard = far_away(fixed.clone(), || Duration::from_micros(50));
    let mut views = Vec::new();
    for _ in 0..wire::VIEWS_MAX + 10 {
        let view = shard.view(Locking::Nobody).unwrap();
        view.open().await.unwrap();
        views.push(view);
    }
    fixed.until_views(wire::VIEWS_MAX).await;
    let (first, _) = read(&views[0], |map| map.get(b"key")).await;
    assert!(matches!(first, Err(MapError::Away(_))), "it was the oldest: {first:?}");
    assert_eq!(read(&views[20], |map| map.get(b"key")).await.0, Ok(None));
    drop(views);
    let begun = Instant::now();
    fixed.until_views(0).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    // One that nobody releases ends when it was not used for long.
    let kept = shard.view(Locking::Nobody).unwrap();
    kept.open().await.unwrap();
    std::mem::forget(kept);
    tokio::time::sleep(Duration::from_secs(700)).await;
    let last = shard.view(Locking::Nobody).unwrap();
    last.open().await.unwrap();
    assert_eq!(fixed.views.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shard_is_served_over_tcp_and_found_again() {
    let (fixed, token, cluster) = (Fixed::default(), Token::new([1; 32]), [9; 16]);
    fixed.put(b"key", b"value");
    let serve = |listener, shard| {
        let (member, token) = (fixed.clone(), token.clone());
        tokio::spawn(async move {
            serve_shard_tcp(member, (&cluster, shard), listener, token, std::future::pending()).await;
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = serve(listener, ShardId(3));
    let shard = RemoteShard::new(&Address::Tcp(at, token.clone()), &cluster, ShardId(3));
    assert_eq!(shard.submit(Bytes::from_static(b"hello")).await.unwrap(), "hello");
    assert!(matches!(shard.submit(Bytes::new()).await, Err(MetadataError::Closed)));
    let record = Record::Resolve { tx: TxId { executor: 1, epoch: 2, number: 3 } };
    assert_eq!(shard.tell(record.clone()).await.unwrap(), Answer::Committed(record.encode().unwrap()));
    assert!(shard.under_way().await.unwrap().is_empty());
    let view = shard.view(Locking::Nobody).unwrap();
    assert_eq!(read(&view, |map| map.get(b"key")).await.0, Ok(Some(Bytes::from_static(b"value"))));
    let other = RemoteShard::new(&Address::Tcp(at, token.clone()), &cluster, ShardId(4));
    assert!(matches!(other.submit(Bytes::from_static(b"x")).await, Err(MetadataError::Busy)));
    server.abort();
    assert!(server.await.is_err());
    fixed.until_views(0).await;
    assert!(shard.submit(Bytes::from_static(b"x")).await.is_err());
    let listener = TcpListener::bind(at).await.unwrap();
    let server = serve(listener, ShardId(3));
    assert_eq!(shard.submit(Bytes::from_static(b"again")).await.unwrap(), "again");
    // The server has forgotten the view; a new one is as good.
    let (known, unknown) = (view.get(b"key"), read(&view, |map| map.get(b"other")).await.0);
    assert_eq!(known, Ok(Some(Bytes::from_static(b"value"))));
    assert!(matches!(unknown, Err(MapError::Away(_))), "{unknown:?}");
    let view = shard.view(Locking::Nobody).unwrap();
    assert_eq!(read(&view, |map| map.get(b"other")).await.0, Ok(None));
    server.abort();
}

/// Answers everything with the same.
struct Liar(Result<Tell, wire::Failure>, Bytes);

impl Handler<ShardAsk, ShardTell> for Liar {
    async fn handle(&self, _: &Peer, _: ShardAsk, _: Bytes) -> (ShardTell, Bytes) {
        (ShardTell(self.0.clone()), self.1.clone())
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_are_not_believed() {
    let bytes = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let entry = |key: &[u8]| {
        let mut packer = entries::Packer::default();
        assert!(packer.push(key, b"value"));
        packer.finish()
    };
    let found =
        |from: &[u8], to: &[u8], entries| Found { from: bytes(from), to: bytes(to), entries, stopped: None };
    let ask = async |found: Vec<Found>, payload: Bytes| {
        let liar = Arc::new(Liar(Ok(Tell::Read(found)), payload));
        let shard = RemoteShard::over(&fabric::Client::in_process(liar, &ShardLimits::of_connection()));
        let view = shard.view(Locking::Nobody).unwrap();
        read(&view, |map| map.get(b"key")).await.0
    };
    assert_eq!(ask(vec![found(b"key", b"key\0", 1)], entry(b"key")).await, Ok(Some(bytes(b"value"))));
    let lies = [
        (vec![], Bytes::new()),
        (vec![found(b"key", b"key\0", 1)], Bytes::new()),
        (vec![found(b"key", b"key\0", u32::MAX)], entry(b"key")),
        (vec![found(b"key", b"key\0", 0)], entry(b"key")),
        (vec![found(b"key", b"key\0", 1)], entry(b"kez")),
        (vec![found(b"key", b"key", 0)], Bytes::new()),
        (vec![found(b"kex", b"key\0", 0)], Bytes::new()),
        (vec![found(b"key", b"kez", 2)], [entry(b"keyy"), entry(b"key")].concat().into()),
    ];
    for (lie, payload) in lies {
        let answer = ask(lie.clone(), payload).await;
        assert!(matches!(answer, Err(MapError::Away(_))), "{lie:?}: {answer:?}");
    }
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let door = Arc::new(ShardDoor::new(Fixed::default()));
    let client = fabric::Client::in_process(door, &ShardLimits::of_connection());
    let ask = async |ask: Ask, payload: &'static [u8]| {
        let (ShardTell(tell), _) =
            client.call(ShardAsk(ask), Bytes::from_static(payload), None).await.unwrap();
        tell.err()
    };
    let read = |view, open, wants| Ask::Read { view, open, wants, released: Vec::new() };
    let want = || Want::Key { key: Bytes::new(), behind: u32::MAX };
    assert_eq!(ask(read(1, Some(Locking::Nobody), vec![want()]), b"").await, None);
    assert_eq!(ask(read(1, Some(Locking::Nobody), vec![]), b"").await, Some(wire::Failure::Nonsense));
    assert_eq!(ask(read(2, None, vec![want()]), b"").await, Some(wire::Failure::NoView));
    let many = vec![want(); wire::WANTS_MAX + 1];
    assert_eq!(ask(read(1, None, many), b"").await, Some(wire::Failure::Nonsense));
    assert_eq!(ask(Ask::Tell, b"nonsense").await, Some(wire::Failure::Nonsense));
}
