//! Names and inodes in many shards, changed by many at once: every answer is one that some order gives.

use crate::history::{Answer, Dir, Entity, Event, Op, Text, Tree, check};
use crate::rig::{Real, Rig, directory, name, root};
use env::{Random, SeededRandom};
use parking_lot::Mutex;
use sim::checked::checked_shards;
use sim::weather::{Mishap, Weather};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use types::{FileId, FsError, Mode, RequestId, SetAttr};
use vfs::*;

const DIRS: [Text; 4] = ["d1", "d2", "d3", "d4"];
const NAMES: [Text; 5] = ["a", "b", "d1", "d2", "d3"];

/// What all tasks know.
struct Known {
    dirs: Vec<FileId>,
    entities: Mutex<HashMap<FileId, Entity>>,
    events: Mutex<Vec<Event>>,
    ticks: AtomicU64,
}

impl Known {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of a new operation; it makes the entity of that number.
    fn begin(&self, op: Op) -> usize {
        let event = Event { op, began: self.tick(), ended: u64::MAX, answer: Answer::Done };
        let mut events = self.events.lock();
        events.push(event);
        events.len() - 1
    }

    fn end(&self, n: usize, answer: Answer) {
        let ended = self.tick();
        let mut events = self.events.lock();
        (events[n].ended, events[n].answer) = (ended, answer);
    }

    fn first(&self) -> Entity {
        self.dirs.len()
    }
}

async fn perform(real: &Real, ctx: &Ctx, known: &Known, n: usize, op: &Op) -> FsResult<Answer> {
    let dir = |dir: Dir| known.dirs[dir];
    let set = SetAttr::default();
    let made = |attr: &types::Attr| {
        known.entities.lock().insert(attr.file, known.first() + n);
        Answer::Done
    };
    let rename = |(from, from_name), (to, to_name), how| Rename {
        from_dir: dir(from),
        from_name: name(from_name),
        to_dir: dir(to),
        to_name: name(to_name),
        how,
    };
    // One that another task has just made may not be known by its number yet.
    let entity = async |file: FileId| loop {
        if let Some(entity) = known.entities.lock().get(&file).copied() {
            return entity;
        }
        tokio::time::sleep(std::time::Duration::from_micros(50)).await;
    };
    Ok(match *op {
        Op::Mkdir(at, text) => {
            let request = Mkdir { dir: dir(at), name: name(text), mode: Mode(0o755), set };
            made(&real.mkdir(ctx, request).await?.attr)
        }
        Op::Create(at, text) => {
            let (name, kind, mode) = (name(text), NodeKind::File, Mode(0o644));
            made(&real.mknod(ctx, Mknod { dir: dir(at), name, kind, mode, set }).await?.attr)
        }
        Op::Rmdir(at, text) => {
            real.rmdir(ctx, Rmdir { dir: dir(at), name: name(text) }).await?;
            Answer::Done
        }
        Op::Unlink(at, text) => {
            real.unlink(ctx, Unlink { dir: dir(at), name: name(text) }).await?;
            Answer::Done
        }
        Op::Rename(from, a, to, b) => {
            real.rename(ctx, rename((from, a), (to, b), RenameHow::Replace)).await?;
            Answer::Done
        }
        Op::Exchange(from, a, to, b) => {
            real.rename(ctx, rename((from, a), (to, b), RenameHow::Exchange)).await?;
            Answer::Done
        }
        Op::Link(linked, at, text) => {
            let file = known.entities.lock().iter().find(|(_, e)| **e == linked).map(|(file, _)| *file);
            let request = Link { file: file.unwrap(), dir: dir(at), name: name(text) };
            let attr = real.link(ctx, request).await?.attr;
            Answer::Found(linked, attr.links)
        }
        Op::Lookup(at, text) => {
            let attr = real.lookup(ctx, Lookup { dir: dir(at), name: name(text) }).await?.attr;
            Answer::Found(entity(attr.file).await, attr.links)
        }
        Op::Stat(at) => {
            let attr = real.getattr(ctx, GetAttr { file: dir(at) }).await?.attr;
            Answer::Directory(attr.links, attr.size)
        }
    })
}

fn some_op(random: &SeededRandom, known: &Known) -> Op {
    let pick = |bound: usize| (random.next() % bound as u64) as usize;
    let dir = || pick(known.dirs.len());
    let text = || NAMES[pick(NAMES.len())];
    let files: Vec<Entity> =
        known.entities.lock().values().copied().filter(|e| *e >= known.first()).collect();
    match pick(12) {
        0 | 1 => Op::Mkdir(dir(), text()),
        2 => Op::Create(dir(), text()),
        3 => Op::Rmdir(dir(), text()),
        4 => Op::Unlink(dir(), text()),
        5..8 => Op::Rename(dir(), text(), dir(), text()),
        8 => Op::Exchange(dir(), text(), dir(), text()),
        9 if !files.is_empty() => Op::Link(*files.iter().min().unwrap(), dir(), text()),
        10 => Op::Stat(dir()),
        _ => Op::Lookup(dir(), text()),
    }
}

/// Tasks with one request after the other, each sent again until it is answered.
async fn history(seed: u64, tasks: u32, ops: u64, weather: Weather, mishaps: u64) {
    history_in(Rig::of_seed(seed | 1, 4096, &weather), seed, tasks, ops, weather, mishaps).await;
}

async fn history_in(mut rig: Rig, seed: u64, tasks: u32, ops: u64, weather: Weather, mishaps: u64) {
    let (real, top) = rig.start().await;
    let mut dirs = vec![top];
    for text in DIRS {
        dirs.push(directory(&real, top, text).await);
    }
    let entities = dirs.iter().enumerate().map(|(n, dir)| (*dir, n)).collect();
    let (events, ticks) = (Mutex::default(), AtomicU64::new(0));
    let known = Arc::new(Known { dirs, entities: Mutex::new(entities), events, ticks });
    weather.set(Mishap::Command, mishaps);
    weather.set(Mishap::Reply, mishaps);
    let task = |task: u32| {
        let (real, known) = (real.clone(), known.clone());
        async move {
            let random = SeededRandom::new(seed * 100 + u64::from(task));
            for sequence in 1..=ops {
                let request = RequestId { client: 9, channel: task, sequence, step: 0 };
                let ctx = Ctx { request: Some(request), ..root() };
                let op = some_op(&random, &known);
                let n = known.begin(op.clone());
                let answer = loop {
                    match perform(&real, &ctx, &known, n, &op).await {
                        Err(FsError::Delay | FsError::Uncertain) => {}
                        Err(error) => break Answer::Failed(error),
                        Ok(answer) => break answer,
                    }
                };
                known.end(n, answer);
            }
        }
    };
    let tasks: Vec<_> = (0..tasks).map(|n| tokio::spawn(task(n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let events = known.events.lock().clone();
    if let Err(why) = check(&Tree::new(&DIRS), &events, known.first()) {
        panic!("seed {seed}: {why}");
    }
    rig.audit().await;
}

#[tokio::test(start_paused = true)]
async fn answers_are_those_of_some_order() {
    for seed in 0..150 {
        history(seed, 4, 6, Weather::delaying(seed, 40), 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn also_when_shards_do_not_answer_and_requests_are_sent_again() {
    for seed in 1000..1100 {
        history(seed, 3, 5, Weather::delaying(seed, 40), 8).await;
    }
}

/// The frontend has no shard in its own process: what it reads of them it fetches, message by message.
#[tokio::test(start_paused = true)]
async fn also_when_shards_are_far_away() {
    for seed in 2000..2120 {
        let (weather, mishaps) = (Weather::delaying(seed, 40), if seed % 3 == 0 { 8 } else { 0 });
        let rig = Rig::of_seed(seed | 1, 4096, &weather).far(seed);
        history_in(rig, seed, 4, 5, weather, mishaps).await;
    }
}

/// Readers of several shards at the same time as writers, which turns on one thread do not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_name_that_is_replaced_is_there_at_every_moment() {
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    let (here, there) = (directory(&real, top, "here").await, directory(&real, top, "there").await);
    assert_ne!(here.ino.slot(), there.ino.slot());
    let replace = async |real: &Real| {
        crate::rig::file(real, there, "new").await;
        let (from_name, to_name, how) = (name("new"), name("x"), RenameHow::Replace);
        let request = Rename { from_dir: there, from_name, to_dir: here, to_name, how };
        real.rename(&root(), request).await.unwrap();
    };
    replace(&real).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let reader = |_| {
        let (real, done) = (real.clone(), done.clone());
        tokio::spawn(async move {
            let mut looks = 0u64;
            while !done.load(Ordering::Relaxed) {
                let found = real.lookup(&root(), Lookup { dir: here, name: name("x") }).await;
                assert!(found.as_ref().is_ok_and(|found| found.attr.links == 1), "{found:?}");
                looks += 1;
            }
            looks
        })
    };
    let readers: Vec<_> = (0..3).map(reader).collect();
    for _ in 0..500 {
        replace(&real).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 100);
    }
    rig.audit().await;
}

/// Each of two directories is moved into the other at the same time: one of them stays.
#[tokio::test(start_paused = true)]
async fn directories_that_are_moved_into_each_other_make_no_loop() {
    let mut outcomes = [0; 3];
    for seed in 0..200 {
        let mut rig = Rig::of_seed(seed, 4096, &Weather::delaying(seed, 60));
        let (real, top) = rig.start().await;
        let one = directory(&real, top, "one").await;
        let two = directory(&real, top, "two").await;
        let below = directory(&real, one, "below").await;
        let far = directory(&real, two, "far").await;
        let rename = async |from: &str, to: FileId| {
            let (from_name, to_name) = (name(from), name("moved"));
            let request = Rename { from_dir: top, from_name, to_dir: to, to_name, how: RenameHow::NoReplace };
            real.rename(&root(), request).await
        };
        let (first, second) = tokio::join!(rename("one", far), rename("two", below));
        match (&first, &second) {
            (Ok(_), Err(FsError::Invalid)) => outcomes[0] += 1,
            (Err(FsError::Invalid), Ok(_)) => outcomes[1] += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
        rig.audit().await;
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

/// fsck looks at the shards by the formats alone, and names what recovery would find.
#[tokio::test(start_paused = true)]
async fn what_transactions_leave_is_named() {
    use metadata::transaction::{Commit, Prepare};
    use metadata::{Age, Answer, DigestKey, Member, Record, TxId};
    use types::ShardId;
    let mut rig = Rig::new(4096);
    let (real, top) = rig.start().await;
    directory(&real, top, "one").await;
    let named = |rig: &Rig| {
        let report = checked_shards(&rig.shards.as_they_are().unwrap(), &rig.stripes.ids()).unwrap();
        report.damage.into_iter().map(|damage| (damage.kind, damage.what)).collect::<Vec<_>>()
    };
    assert_eq!(named(&rig), []);
    let tx = TxId { executor: 7, epoch: 1, number: 3 };
    let (age, digest_key) = (Age { born: 1, executor: 7, number: 1 }, DigestKey([1; 16]));
    let key = namespace::keys::counters(types::FsId(5), types::Slot(u16::MAX));
    let prepare = Prepare {
        tx,
        age,
        round: 0,
        coordinator: ShardId(0),
        digest_key,
        gets: Vec::new(),
        ranges: Vec::new(),
        writes: vec![(key.into(), None)],
    };
    let (home, other) = (rig.shards.member(ShardId(0)).unwrap(), rig.shards.member(ShardId(4)).unwrap());
    assert_eq!(other.tell(Record::Prepare(prepare)).await.unwrap(), Answer::Prepared);
    let found = named(&rig);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, fsck::Kind::Transaction);
    assert_eq!(found[0].1, "in shard 4, transaction 7.1.3 holds 1 keys, which its coordinator does not know");

    let command = namespace::Command {
        now: types::Time::default(),
        cred: types::Cred::root(),
        request: None,
        fs: types::FsId(1),
        action: namespace::Action::GrantStripes { near: types::InodeId::ROOT, count: 1 },
        appends: Vec::new(),
    };
    let commit = Commit {
        tx,
        age,
        participants: vec![ShardId(4)],
        command: command.encode().unwrap(),
        gets: Vec::new(),
        ranges: Vec::new(),
        guards: Vec::new(),
        digest_key,
        foreign_writes: digest_key.none(),
    };
    assert!(matches!(home.tell(Record::Commit(commit)).await.unwrap(), Answer::Committed(_)));
    assert!(named(&rig)[0].1.ends_with("which is decided and not finished"), "{:?}", named(&rig));
    other.tell(Record::Finish { tx, commit: true, floor: 0 }).await.unwrap();
    assert_eq!(named(&rig)[0].1, "in shard 0, transaction 7.1.3 is decided, and nobody needs to know");
    home.tell(Record::Forget { tx, floor: 0 }).await.unwrap();
    assert_eq!(named(&rig), []);
}
