//! A drive's log in memory, kept to what the crash tests prove of the real one: a group of writes is there as a
//! whole or not at all, what was synced is there, and a sync that failed is never tried again.

use crate::log::engine::{Store, Written};
use crate::log::record::{LogRecord, Mark};
use crate::log::{DriveLog, LogBounds, LogError, LogOptions, LogWrite};
use bytes::Bytes;
use env::{Random, Workers};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use types::ShardId;

/// How long a sync takes at most when nothing is wrong.
const SYNC_MAX: Duration = Duration::from_micros(400);

/// How the log misbehaves from now on.
#[derive(Clone, Debug, Default)]
pub struct LogFaults {
    /// Every sync fails.
    pub dead: bool,
    /// Every sync takes this much longer.
    pub delay: Duration,
}

/// A drive's log in memory. It outlives those who open it, as files do. Clones are the same log.
#[derive(Clone)]
pub struct SimLog {
    state: Arc<Mutex<State>>,
    random: Arc<dyn Random>,
}

#[derive(Default)]
struct State {
    shards: BTreeMap<ShardId, Kept>,
    /// The group that is on its way to the disk.
    under_way: Vec<(ShardId, LogWrite)>,
    faults: LogFaults,
    /// Who opened it in an earlier life has lost it.
    life: u64,
    /// How often entries were read.
    reads: u64,
}

/// What is kept of a shard.
#[derive(Default)]
struct Kept {
    /// The first entry that is not purged, once there was one; it may have been cut off.
    first: Option<u64>,
    /// Where the next entry must go; anywhere in an empty log.
    end: Option<u64>,
    entries: BTreeMap<u64, LogRecord>,
    marks: BTreeMap<Mark, Bytes>,
}

impl Kept {
    /// As the real one does, refused writes change nothing.
    fn apply(&mut self, write: &LogWrite) -> Result<(), LogError> {
        let (mut first, mut end) = (self.first, self.end);
        if let Some(from) = write.cut_from {
            if first.is_some_and(|first| from < first) {
                return Err(LogError::Invalid(format!("a cut at {from}, before the first entry")));
            }
            end = end.map(|end| end.min(from));
        }
        let kept = end;
        for record in &write.entries {
            if end.is_some_and(|end| record.index != end) {
                return Err(LogError::Invalid(format!("entry {} where {end:?} should be", record.index)));
            }
            end = Some(record.index + 1);
            first = first.or(Some(record.index));
        }
        self.entries.retain(|index, _| kept.is_none_or(|kept| *index < kept));
        self.entries.extend(write.entries.iter().map(|record| (record.index, record.clone())));
        self.marks.extend(write.marks.iter().cloned());
        if let Some(to) = write.purge_to {
            self.entries.retain(|index, _| *index > to);
            if end.is_some_and(|end| end <= to + 1) {
                (first, end) = (None, None);
            } else {
                first = first.map(|first| first.max(to + 1));
            }
        }
        (self.first, self.end) = (first, end);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.entries.values().map(|record| record.body.len() as u64 + 32).sum()
    }
}

impl State {
    fn apply(&mut self, writes: &[(ShardId, LogWrite)]) -> Vec<Result<(), LogError>> {
        writes.iter().map(|(shard, write)| self.shards.entry(*shard).or_default().apply(write)).collect()
    }
}

impl SimLog {
    /// An empty log, whose `random` decides how long syncs take.
    #[must_use]
    pub fn new(random: Arc<dyn Random>) -> SimLog {
        SimLog { state: Arc::default(), random }
    }

    /// Opens it; who had it open before has lost it.
    ///
    /// # Errors
    /// [`LogError::Open`] while it is dead, or when nothing runs it.
    pub fn open(&self, options: LogOptions, workers: &Workers) -> Result<DriveLog, LogError> {
        let fail = |reason: String| LogError::Open { dir: "memory".to_owned(), reason };
        let life = {
            let mut state = self.state.lock();
            if state.faults.dead {
                return Err(fail("the drive is dead".to_owned()));
            }
            state.life += 1;
            state.life
        };
        let (log, purge_bytes) = (self.clone(), options.purge_bytes);
        let store = Arc::new(Opened { log, life, purge_bytes });
        DriveLog::over(store, options, workers).map_err(|e| fail(e.to_string()))
    }

    /// How often entries have been read so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.state.lock().reads
    }

    /// The power goes: the group that was on its way is there as a whole, or nothing of it.
    pub fn cut_power(&self, keeps: bool) {
        let mut state = self.state.lock();
        state.life += 1;
        let under_way = std::mem::take(&mut state.under_way);
        if keeps {
            drop(state.apply(&under_way));
        }
    }

    /// Changes how it misbehaves.
    pub fn set_faults(&self, change: impl FnOnce(&mut LogFaults)) {
        change(&mut self.state.lock().faults);
    }

    async fn write(
        &self,
        life: u64,
        writes: &[(ShardId, LogWrite)],
    ) -> Result<Vec<Result<(), LogError>>, String> {
        let takes = Duration::from_micros(self.random.below(SYNC_MAX.as_micros() as u64));
        let delay = {
            let mut state = self.state.lock();
            state.check(life)?;
            state.under_way = writes.to_vec();
            state.faults.delay
        };
        tokio::time::sleep(takes + delay).await;
        let mut state = self.state.lock();
        state.check(life)?;
        state.under_way.clear();
        Ok(state.apply(writes))
    }
}

impl State {
    fn check(&self, life: u64) -> Result<(), String> {
        match () {
            () if self.life != life => Err("the power is gone".to_owned()),
            () if self.faults.dead => Err("the drive is dead".to_owned()),
            () => Ok(()),
        }
    }
}

/// The log as one life has it.
struct Opened {
    log: SimLog,
    life: u64,
    purge_bytes: u64,
}

impl Opened {
    fn of<T>(&self, shard: ShardId, ask: impl FnOnce(&Kept) -> Option<T>) -> Option<T> {
        self.log.state.lock().shards.get(&shard).and_then(ask)
    }
}

impl Store for Opened {
    fn write<'a>(&'a self, writes: &'a [(ShardId, LogWrite)]) -> Written<'a> {
        Box::pin(self.log.write(self.life, writes))
    }

    fn purge(&self) -> Result<Vec<ShardId>, String> {
        if self.bytes() <= self.purge_bytes {
            return Ok(Vec::new());
        }
        let state = self.log.state.lock();
        let with_entries = state.shards.iter().filter(|(_, kept)| !kept.entries.is_empty());
        Ok(with_entries.map(|(shard, _)| *shard).collect())
    }

    fn bounds(&self, shard: ShardId) -> Option<LogBounds> {
        self.of(shard, |kept| {
            let (first, last) = (kept.entries.first_key_value()?, kept.entries.last_key_value()?);
            Some(LogBounds { first: *first.0, last: *last.0 })
        })
    }

    fn read(&self, shard: ShardId, from: u64, to: u64, bytes: usize) -> Result<Vec<LogRecord>, LogError> {
        let mut state = self.log.state.lock();
        state.reads += 1;
        if state.faults.dead {
            return Err(LogError::Unreadable("the drive is dead".to_owned()));
        }
        let Some(kept) = state.shards.get(&shard).filter(|_| from < to) else { return Ok(Vec::new()) };
        let mut left = bytes;
        let mut found = Vec::new();
        for record in kept.entries.range(from..to).map(|(_, record)| record) {
            if !found.is_empty() && record.body.len() > left {
                break;
            }
            left = left.saturating_sub(record.body.len());
            found.push(record.clone());
        }
        Ok(found)
    }

    fn mark(&self, shard: ShardId, mark: Mark) -> Result<Option<Bytes>, LogError> {
        Ok(self.of(shard, |kept| kept.marks.get(&mark).cloned()))
    }

    fn shards(&self) -> Vec<ShardId> {
        self.log.state.lock().shards.keys().copied().collect()
    }

    fn bytes(&self) -> u64 {
        self.log.state.lock().shards.values().map(Kept::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::ShardLog;
    use crate::log::sim::SimFiles;
    use env::SeededRandom;

    const OPTIONS: LogOptions = LogOptions { file_bytes: 4 << 10, purge_bytes: 8 << 10 };

    /// All that can be asked of a log.
    fn content(log: &ShardLog) -> (Option<LogBounds>, Vec<LogRecord>, Vec<Option<Bytes>>) {
        let bounds = log.bounds();
        let entries = bounds.map_or(Vec::new(), |b| log.read(b.first, b.last + 1, 1 << 20).unwrap());
        let marks = [Mark::Vote, Mark::Purged, Mark::Home].map(|mark| log.mark(mark).unwrap());
        (bounds, entries, marks.to_vec())
    }

    /// Some write; more often than not one that a log takes which ends before `end`.
    fn some_write(random: &SeededRandom, end: &mut u64) -> LogWrite {
        let mut write = LogWrite::default();
        if random.below(5) == 0 {
            *end = end.saturating_sub(random.below(4)).max(1);
            write.cut_from = Some(*end);
        }
        for _ in 0..random.below(4) {
            let body = Bytes::from(vec![*end as u8; random.below(40) as usize]);
            write.entries.push(LogRecord { index: *end, term: random.below(9), body });
            *end += 1;
        }
        if random.below(3) == 0 {
            let mark = [Mark::Vote, Mark::Purged, Mark::Home][random.below(3) as usize];
            write.marks.push((mark, Bytes::from(vec![7; random.below(20) as usize])));
        }
        if random.below(6) == 0 {
            write.purge_to = Some(end.saturating_sub(random.below(6)));
        }
        if random.below(12) == 0 {
            *end += 1;
        }
        write
    }

    #[tokio::test]
    async fn it_takes_refuses_and_shows_what_the_real_one_does() {
        let (mut taken, mut refused) = (0, 0);
        for seed in 0..40 {
            let random = Arc::new(SeededRandom::new(seed));
            let dir = tempfile::tempdir().unwrap();
            let real = DriveLog::open_on(dir.path(), OPTIONS, Arc::new(SimFiles::default())).unwrap();
            let twin = SimLog::new(random.clone());
            let twin = twin.open(OPTIONS, &env::sim::workers(random.clone())).unwrap();
            let (real, twin) = (real.shard(ShardId(1)), twin.shard(ShardId(1)));
            let mut end = 1;
            for step in 0..60 {
                let write = some_write(&random, &mut end);
                let told = [
                    real.write_durably(write.clone()).await.is_ok(),
                    twin.write_durably(write.clone()).await.is_ok(),
                ];
                assert_eq!(told[0], told[1], "seed {seed}, step {step}: {write:?}");
                assert_eq!(content(&real), content(&twin), "seed {seed}, step {step}: {write:?}");
                if told[0] {
                    taken += 1;
                } else {
                    refused += 1;
                    end = real.bounds().map_or(end, |bounds| bounds.last + 1);
                }
            }
        }
        assert!(taken > 1000 && refused > 50, "{taken} taken, {refused} refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_power_cut_takes_the_group_that_was_on_its_way_or_nothing() {
        for keeps in [false, true] {
            let random = Arc::new(SeededRandom::new(1));
            let log = SimLog::new(random.clone());
            let workers = env::sim::workers(random);
            let drive = log.open(OPTIONS, &workers).unwrap();
            let entry = |index| {
                let record = LogRecord { index, term: 1, body: Bytes::new() };
                LogWrite { entries: vec![record], ..LogWrite::default() }
            };
            drive.shard(ShardId(0)).write_durably(entry(1)).await.unwrap();
            let (one, two) = (drive.shard(ShardId(0)), drive.shard(ShardId(2)));
            let both = async { tokio::join!(one.write_durably(entry(2)), two.write_durably(entry(5))) };
            let cut = tokio::time::timeout(Duration::from_nanos(1), both).await;
            assert!(cut.is_err());
            log.cut_power(keeps);
            assert!(one.write_durably(entry(3)).await.is_err());
            let again = log.open(OPTIONS, &workers).unwrap();
            assert_eq!(again.shard(ShardId(0)).bounds().unwrap().last, 1 + u64::from(keeps));
            assert_eq!(again.shard(ShardId(2)).bounds().is_some(), keeps);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_sync_poisons_it() {
        let random = Arc::new(SeededRandom::new(1));
        let log = SimLog::new(random.clone());
        let drive = log.open(OPTIONS, &env::sim::workers(random.clone())).unwrap();
        log.set_faults(|faults| faults.dead = true);
        let shard = drive.shard(ShardId(0));
        let write = || shard.write_durably(LogWrite::default());
        assert!(matches!(write().await, Err(LogError::Poisoned(_))));
        log.set_faults(|faults| faults.dead = false);
        assert!(matches!(write().await, Err(LogError::Poisoned(_))));
        log.cut_power(true);
        let drive = log.open(OPTIONS, &env::sim::workers(random)).unwrap();
        drive.shard(ShardId(0)).write_durably(LogWrite::default()).await.unwrap();
    }
}
