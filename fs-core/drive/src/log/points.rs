//! Every persistence point: the power is cut before each operation on files of every history of one and of two
//! operations on the log, from every kind of start, and of random longer ones, with several fates of what was not synced.

use super::crashes::{Models, TINY, all, entry, folder, full, step};
use super::sim::{Fate, SimFiles};
use super::{DriveLog, LogWrite, Mark};
use crate::histories::{self, Told, Tried};
use bytes::Bytes;
use env::{Random, SeededRandom};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use types::ShardId;

const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];

/// Everything that makes the log write.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Op {
    /// Two entries of so many bytes.
    Append(usize),
    Vote,
    /// The last entry is gone.
    Cut,
    /// Another one takes the place of the last.
    CutAndAppend,
    /// Of the entries that are there the older half.
    Purge,
    PurgeAll,
    /// Entries, marks and a purge at once.
    Everything,
    /// Both shards in one group.
    Together,
    OtherShard,
    Reopen,
}

const OPS: [Op; 11] = [
    Op::Append(20),
    // A file has 4 KiB: this one begins another.
    Op::Append(2100),
    Op::Vote,
    Op::Cut,
    Op::CutAndAppend,
    Op::Purge,
    Op::PurgeAll,
    Op::Everything,
    Op::Together,
    Op::OtherShard,
    Op::Reopen,
];

/// Where a history begins.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Start {
    Empty,
    Holding,
    /// Entries were cut off and nothing took their place.
    Cut,
    /// Files were begun and freed, and the next write of any size frees more.
    Freeing,
    /// The power went in a write that crossed a file.
    Torn,
}

const STARTS: [Start; 5] = [Start::Empty, Start::Holding, Start::Cut, Start::Freeing, Start::Torn];

/// A write, and the steps before it was asked for and before it was acknowledged.
#[derive(Clone)]
struct Event {
    shard: ShardId,
    write: LogWrite,
    asked: u64,
    done: Arc<Mutex<Option<u64>>>,
}

#[derive(Clone, Default)]
struct History {
    /// What was there at the start.
    before: Models,
    models: Models,
    events: Vec<Event>,
    term: u64,
    next: [u64; 2],
}

impl History {
    /// The write that `op` is for `shard`.
    fn write(&mut self, op: Op, shard: usize) -> LogWrite {
        self.term += 1;
        let entries = &self.models.entry(SHARDS[shard]).or_default().entries;
        let (first, last) = (entries.first().map(|e| e.0), entries.last().map(|e| e.0));
        let next = last.map_or(self.next[shard].max(1), |last| last + 1);
        let two = |bytes| vec![entry(next, self.term, bytes), entry(next + 1, self.term, bytes)];
        let vote = || vec![(Mark::Vote, Bytes::from(vec![self.term as u8; 17]))];
        let middle = first.zip(last).map(|(first, last)| (first + last) / 2);
        match op {
            Op::Append(bytes) => LogWrite { entries: two(bytes), ..LogWrite::default() },
            Op::Vote => LogWrite { marks: vote(), ..LogWrite::default() },
            Op::Cut => LogWrite { cut_from: last, ..LogWrite::default() },
            Op::CutAndAppend => {
                let entries = vec![entry(last.unwrap_or(next), self.term, 90)];
                LogWrite { cut_from: last, entries, ..LogWrite::default() }
            }
            Op::Purge => LogWrite { purge_to: middle, ..LogWrite::default() },
            Op::PurgeAll => LogWrite { purge_to: last, ..LogWrite::default() },
            Op::Everything => {
                LogWrite { entries: two(700), marks: vote(), purge_to: middle, ..LogWrite::default() }
            }
            Op::Together | Op::OtherShard => LogWrite { entries: two(300), ..LogWrite::default() },
            Op::Reopen => LogWrite::default(),
        }
    }

    async fn ask(&mut self, files: &SimFiles, drive: &DriveLog, shard: usize, write: LogWrite) {
        let done = Arc::new(Mutex::new(None));
        let (told, counted) = (done.clone(), files.clone());
        let event = Event { shard: SHARDS[shard], write: write.clone(), asked: files.steps(), done };
        self.models = step(&self.models, event.shard, &write);
        // Indices go on where they were, also when nothing is left.
        let last = write.entries.last().map(|e| e.index + 1);
        self.next[shard] = last.or(write.cut_from).unwrap_or(self.next[shard]);
        self.events.push(event);
        let log = drive.shard(SHARDS[shard]);
        let note = move |result: Result<(), _>| {
            result.unwrap();
            *told.lock().unwrap() = Some(counted.steps());
        };
        log.write(write, Box::new(note)).await.unwrap();
    }

    /// What may be there after a power cut before a step: in a group all or nothing, so a run of writes from
    /// the first one that was not acknowledged.
    fn at(&self, at: u64) -> Vec<Models> {
        let mut models = self.before.clone();
        let mut may = Vec::new();
        let mut acknowledged = true;
        for event in self.events.iter().filter(|event| event.asked <= at) {
            let done = event.done.lock().unwrap().is_some_and(|done| done <= at);
            assert!(acknowledged || !done, "acknowledged out of turn");
            if acknowledged && !done {
                may.push(full(models.clone()));
                acknowledged = false;
            }
            models = step(&models, event.shard, &event.write);
            if !acknowledged {
                may.push(full(models.clone()));
            }
        }
        if acknowledged {
            may.push(full(models));
        }
        may
    }

    /// Does `op`, and waits until it is done.
    async fn act(&mut self, files: &SimFiles, dir: &TempDir, mut drive: DriveLog, op: Op) -> DriveLog {
        let shards: &[usize] = match op {
            Op::Reopen => &[],
            Op::Together => &[0, 1],
            Op::OtherShard => &[1],
            _ => &[0],
        };
        for &shard in shards {
            let write = self.write(op, shard);
            self.ask(files, &drive, shard, write).await;
        }
        // A write of nothing comes back when all before it are done and files were freed.
        drive.shard(SHARDS[1]).write_durably(LogWrite::default()).await.unwrap();
        if op == Op::Reopen {
            drive.close().await;
            drive = opened(files, dir);
        }
        drive
    }

    /// Plays `ops` from `start`; the steps before each, and what there was before each step.
    async fn play(&mut self, start: &SimFiles, ops: &[Op]) -> (Vec<u64>, Vec<SimFiles>) {
        let dir = folder();
        let files = start.after_crash(dir.path(), Fate::Kept).unwrap();
        files.keep_all();
        let mut firsts = Vec::new();
        let mut drive = opened(&files, &dir);
        for &op in ops {
            firsts.push(files.steps());
            drive = self.act(&files, &dir, drive, op).await;
        }
        assert_eq!(all(&drive), full(self.models.clone()), "{ops:?}");
        drive.close().await;
        (firsts, files.take_all())
    }

    /// What was found is what there is from now on.
    fn begin_with(&mut self, found: Models) {
        for (n, shard) in SHARDS.into_iter().enumerate() {
            let last = found.get(&shard).and_then(|model| model.entries.last());
            self.next[n] = last.map_or(self.next[n], |e| e.0 + 1);
        }
        (self.before, self.models, self.events) = (found.clone(), found, Vec::new());
    }
}

fn opened(files: &SimFiles, dir: &TempDir) -> DriveLog {
    DriveLog::open_on(dir.path(), TINY, Arc::new(files.clone())).unwrap()
}

impl Start {
    /// Files without power, and what they hold.
    async fn make(self) -> (SimFiles, History) {
        let (small, large) = (Op::Append(20), Op::Append(2100));
        let ops: Vec<Op> = match self {
            Start::Empty => vec![],
            Start::Holding => vec![small, Op::Vote, Op::Together, small, Op::CutAndAppend],
            Start::Cut => vec![small, Op::Together, Op::Cut],
            Start::Freeing => [[large, Op::PurgeAll, Op::OtherShard]; 4].concat(),
            Start::Torn => vec![small, Op::Together, small, large],
        };
        let mut history = History::default();
        let (firsts, states) = history.play(&SimFiles::default(), &ops).await;
        if self != Start::Torn {
            history.begin_with(history.models.clone());
            return (states.into_iter().next_back().unwrap(), history);
        }
        // Before the sync of the last write.
        let dir = folder();
        let torn = states[firsts[3] as usize + 1].after_crash(dir.path(), Fate::Torn(3)).unwrap();
        let drive = opened(&torn.after_crash(folder().path(), Fate::Kept).unwrap(), &dir);
        history.begin_with(all(&drive));
        drive.close().await;
        (torn, history)
    }
}

/// Plays `ops` and cuts the power before every step from those of operation `from` on.
async fn cut_everywhere(
    (start, history): &(SimFiles, History),
    ops: &[Op],
    from: usize,
    fates: &[Fate],
    tried: &mut Tried,
) {
    let mut history = history.clone();
    let (firsts, states) = history.play(start, ops).await;
    // What opening writes belongs to the first operation.
    let first = if from == 0 { 0 } else { firsts[from] };
    tried.histories += 1;
    for (at, state) in (0..).zip(&states).skip(first as usize) {
        tried.points += 1;
        let may = history.at(at);
        // With nothing on its way all fates are one.
        for &fate in if state.is_unsynced() { fates } else { &fates[..1] } {
            tried.cuts += 1;
            let _told = Told(("cut before", at, fate, ops));
            check(state, fate, &may).await;
        }
    }
}

/// What is there is something that may be; and it goes on from there, through another cut.
async fn check(state: &SimFiles, fate: Fate, may: &[Models]) {
    let dir = folder();
    let files = state.after_crash(dir.path(), fate).unwrap();
    let drive = opened(&files, &dir);
    let found = all(&drive);
    assert!(may.contains(&found), "found {found:?}\nmay be {may:?}");
    let log = drive.shard(SHARDS[1]);
    let next = found[&SHARDS[1]].entries.last().map_or(50, |e| e.0 + 1);
    let write = LogWrite { entries: vec![entry(next, 999, 5)], ..LogWrite::default() };
    log.write_durably(write.clone()).await.unwrap();
    let again = folder();
    let files = files.after_crash(again.path(), Fate::Torn(next)).unwrap();
    assert_eq!(all(&opened(&files, &again)), step(&found, SHARDS[1], &write), "again");
}

async fn every_short_history(start: Start) {
    let made = start.make().await;
    let mut tried = Tried::default();
    let fates = [Fate::Lost, Fate::Kept, Fate::Torn(1), Fate::Torn(2)];
    for one in OPS {
        cut_everywhere(&made, &[one], 0, &fates, &mut tried).await;
        for two in OPS {
            // What ends in the first operation was there before.
            cut_everywhere(&made, &[one, two], 1, &fates, &mut tried).await;
        }
    }
    println!("{start:?}: {tried:?}");
    assert!(tried.points > 300 && tried.cuts > tried.points, "{tried:?}");
}

macro_rules! every_short_history {
    ($($name:ident: $start:expr,)*) => {$(
        #[tokio::test]
        async fn $name() {
            every_short_history($start).await;
        }
    )*};
}

every_short_history! {
    every_point_of_short_histories_of_an_empty_log: Start::Empty,
    every_point_of_short_histories_of_a_log_of_two_shards: Start::Holding,
    every_point_of_short_histories_after_a_cut_of_entries: Start::Cut,
    every_point_of_short_histories_while_files_are_freed: Start::Freeing,
    every_point_of_short_histories_after_a_power_cut: Start::Torn,
}

async fn random_history(seed: u64, starts: &[(SimFiles, History)], tried: &mut Tried) {
    let random = SeededRandom::new(seed);
    let start = &starts[random.below(starts.len() as u64) as usize];
    let ops: Vec<Op> =
        (0..3 + random.below(10)).map(|_| OPS[random.below(OPS.len() as u64) as usize]).collect();
    let fates = [Fate::Torn(random.next()), Fate::Torn(random.next())];
    cut_everywhere(start, &ops, 0, &fates, tried).await;
}

async fn random_histories(seeds: std::ops::Range<u64>) {
    let mut starts = Vec::new();
    for start in STARTS {
        starts.push(start.make().await);
    }
    let mut tried = Tried::default();
    for seed in seeds {
        let _told = Told(("seed", seed));
        random_history(seed, &starts, &mut tried).await;
    }
    println!("{tried:?}");
}

#[tokio::test]
async fn every_point_of_random_longer_histories() {
    random_histories(0..60).await;
}

/// What does not fit into every run.
#[tokio::test]
#[ignore = "run by the ninth part of test-full"]
async fn chosen_seeds() {
    random_histories(histories::chosen()).await;
}
