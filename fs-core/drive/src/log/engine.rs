//! The log engine behind a small trait, so that its file system does not show in our types.

use super::record::{self, CUT_KEY, LogRecord, Mark};
use super::shard::{LogBounds, LogWrite};
use super::watched::{Failed, Watched};
use super::{BODY_BYTES_MAX, LogError};
use bytes::Bytes;
use protobuf::well_known_types::BytesValue;
use raft_engine::env::FileSystem;
use raft_engine::{Command, Engine, LogBatch, MessageExt};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use types::ShardId;

/// What became of each write of a group, once it is decided.
pub(super) type Written<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Result<(), LogError>>, String>> + Send + 'a>>;

/// What the commit thread and the readers need of the engine.
pub(super) trait Store: Send + Sync {
    /// Writes and syncs all of `writes` at once. The inner results tell which were refused; the
    /// outer error is for ever. Blocks on the disk.
    fn write<'a>(&'a self, writes: &'a [(ShardId, LogWrite)]) -> Written<'a>;
    /// Frees files; the shards that stand in the way come back. An error is for ever.
    fn purge(&self) -> Result<Vec<ShardId>, String>;
    fn bounds(&self, shard: ShardId) -> Option<LogBounds>;
    fn read(&self, shard: ShardId, from: u64, to: u64, bytes: usize) -> Result<Vec<LogRecord>, LogError>;
    fn mark(&self, shard: ShardId, mark: Mark) -> Result<Option<Bytes>, LogError>;
    fn shards(&self) -> Vec<ShardId>;
    fn bytes(&self) -> u64;
}

/// Tells the engine where a record keeps its index.
struct Records;

impl MessageExt for Records {
    type Entry = BytesValue;
    fn index(entry: &BytesValue) -> u64 {
        record::index_of(&entry.value)
    }
}

pub(super) struct Files<F: FileSystem> {
    engine: Engine<Watched<F>>,
    failed: Failed,
    /// Odd while files are freed.
    purges: AtomicU64,
}

/// How often entries are looked for that a purge has moved.
const LOOKS_MAX: usize = 64;

/// The engine's group of a shard; 0 is left alone.
fn region(shard: ShardId) -> u64 {
    u64::from(shard.0) + 1
}

fn cut_of(stored: &[u8]) -> Result<u64, LogError> {
    let value = record::decode_mark(stored)?;
    let bytes: [u8; 8] =
        value.as_ref().try_into().map_err(|_| LogError::Damaged("a cut that is no index".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Where a shard's log ends while a batch is put together.
#[derive(Clone, Copy)]
struct Tail {
    /// The first entry that the engine holds.
    first: Option<u64>,
    /// Where the next entry must go; anywhere in an empty log.
    end: Option<u64>,
    /// Whether the engine holds entries from `end` on that do not count.
    cut: bool,
}

impl<F: FileSystem> Files<F> {
    pub(super) fn new(engine: Engine<Watched<F>>, failed: Failed) -> Files<F> {
        Files { engine, failed, purges: AtomicU64::new(0) }
    }

    fn tail(&self, shard: ShardId) -> Tail {
        let id = region(shard);
        let cut = self.engine.get(id, CUT_KEY).and_then(|v| cut_of(&v).ok());
        let end = self.engine.last_index(id).map(|last| last + 1);
        Tail { first: self.engine.first_index(id), end: cut.or(end), cut: cut.is_some() }
    }

    fn write_now(&self, writes: &[(ShardId, LogWrite)]) -> Result<Vec<Result<(), LogError>>, String> {
        if let Some(reason) = self.failed.reason() {
            return Err(reason);
        }
        let mut batch = LogBatch::with_capacity(writes.len());
        let mut tails: HashMap<ShardId, Tail> = HashMap::new();
        let mut results = Vec::with_capacity(writes.len());
        for (shard, write) in writes {
            let tail = tails.entry(*shard).or_insert_with(|| self.tail(*shard));
            results.push(put(&mut batch, *shard, write, tail));
        }
        if !batch.is_empty() {
            self.guarded(|| self.engine.write(&mut batch, true))?;
        }
        Ok(results)
    }

    fn read_once(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        if let Some(stored) = self.engine.get(region(shard), CUT_KEY) {
            cut_of(&stored)?;
        }
        let Some(bounds) = self.bounds(shard) else { return Ok(Vec::new()) };
        let from = from.max(bounds.first);
        let to = to.min(bounds.last + 1);
        if from >= to {
            return Ok(Vec::new());
        }
        // The engine sizes a table by the range, so a range is read in steps.
        let to = to.min(from + 4096);
        let mut found = Vec::new();
        // The engine remembers the last block it read per thread, not per log: on a thread that
        // reads two logs it would give entries of the one for the other. So each read has a thread.
        let read = std::thread::scope(|scope| {
            let fetch = || {
                let id = region(shard);
                self.engine.fetch_entries_to::<Records>(id, from, to, Some(bytes), &mut found)
            };
            std::thread::Builder::new()
                .name("log-read".to_owned())
                .spawn_scoped(scope, fetch)
                .map(|t| t.join())
        });
        let read = read.map_err(|e| LogError::Unreadable(e.to_string()))?;
        match read {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Err(LogError::Damaged(format!("entries {from} to {to}: {e}"))),
            Err(_) => return Err(LogError::Damaged(format!("entries {from} to {to}: the engine panicked"))),
        }
        let mut records = Vec::with_capacity(found.len());
        for (entry, index) in found.into_iter().zip(from..) {
            let record = LogRecord::decode(Bytes::from(entry.value))?;
            if record.index != index {
                return Err(LogError::Damaged(format!("entry {} where {index} should be", record.index)));
            }
            records.push(record);
        }
        if records.is_empty() {
            return Err(LogError::Damaged(format!("entry {from} is not there")));
        }
        Ok(records)
    }

    /// Runs what may write; a panic of the engine is an error that stays.
    fn guarded<T>(&self, work: impl FnOnce() -> raft_engine::Result<T>) -> Result<T, String> {
        let done = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err("the log engine panicked".to_owned()),
        };
        match self.failed.reason() {
            Some(reason) => Err(reason),
            None => done,
        }
    }
}

/// Adds `write` to `batch`, or refuses it and adds nothing.
fn put(batch: &mut LogBatch, shard: ShardId, write: &LogWrite, tail: &mut Tail) -> Result<(), LogError> {
    let mut next = *tail;
    if let Some(from) = write.cut_from {
        if next.first.is_some_and(|first| from < first) {
            return Err(LogError::Invalid(format!("a cut at {from}, before the first entry")));
        }
        if next.end.is_some_and(|end| from < end) {
            next.end = Some(from);
            next.cut = true;
        }
    }
    for record in &write.entries {
        let follows = next.end.is_none_or(|end| record.index == end);
        if !follows || record.index == u64::MAX || record.body.len() > BODY_BYTES_MAX {
            return Err(LogError::Invalid(format!(
                "entry {} of {} bytes where {:?} should follow",
                record.index,
                record.body.len(),
                next.end
            )));
        }
        next.end = Some(record.index + 1);
        next.first = next.first.or(Some(record.index));
    }
    let engine = |e: raft_engine::Error| LogError::Invalid(e.to_string());
    let id = region(shard);
    let cut_now = next.cut && write.entries.is_empty();
    if let (true, Some(from)) = (cut_now, write.cut_from) {
        batch.put(id, CUT_KEY.to_vec(), record::encode_mark(&from.to_be_bytes())).map_err(engine)?;
    }
    if !write.entries.is_empty() {
        if tail.cut {
            batch.delete(id, CUT_KEY.to_vec());
        }
        next.cut = false;
        let entries: Vec<BytesValue> =
            write.entries.iter().map(|r| BytesValue { value: r.encode(), ..BytesValue::default() }).collect();
        batch.add_entries::<Records>(id, &entries).map_err(engine)?;
    }
    for (mark, value) in &write.marks {
        batch.put(id, mark.key().to_vec(), record::encode_mark(value)).map_err(engine)?;
    }
    if let Some(index) = write.purge_to {
        if next.end.is_some_and(|end| end <= index + 1) {
            // What was cut off goes with it, wherever it ended: the engine forgets that entries were replaced when
            // those that replaced them are purged, and would bring back what was behind them.
            batch.add_command(id, Command::Compact { index: u64::MAX });
            if next.cut {
                batch.delete(id, CUT_KEY.to_vec());
            }
            next = Tail { first: None, end: None, cut: false };
        } else {
            batch.add_command(id, Command::Compact { index: index + 1 });
            next.first = next.first.map(|first| first.max(index + 1));
        }
    }
    *tail = next;
    Ok(())
}

impl<F: FileSystem> Store for Files<F> {
    fn write<'a>(&'a self, writes: &'a [(ShardId, LogWrite)]) -> Written<'a> {
        Box::pin(async { self.write_now(writes) })
    }

    fn purge(&self) -> Result<Vec<ShardId>, String> {
        self.purges.fetch_add(1, Ordering::AcqRel);
        let regions = self.guarded(|| self.engine.purge_expired_files());
        self.purges.fetch_add(1, Ordering::AcqRel);
        let regions = regions?;
        Ok(regions.into_iter().filter_map(shard).collect())
    }

    fn bounds(&self, shard: ShardId) -> Option<LogBounds> {
        let first = self.engine.first_index(region(shard))?;
        let last = self.engine.last_index(region(shard))?;
        let end = match self.engine.get(region(shard), CUT_KEY).map(|v| cut_of(&v)) {
            Some(Ok(from)) => from,
            // A cut that cannot be read is told by `read`.
            _ => last + 1,
        };
        (first < end).then(|| LogBounds { first, last: end - 1 })
    }

    fn read(&self, shard: ShardId, from: u64, to: u64, bytes: usize) -> Result<Vec<LogRecord>, LogError> {
        // The engine looks up where entries are and then reads there. A file that is freed in between, its
        // entries moved, looks like damage; a second look finds them where they are now.
        for _ in 0..LOOKS_MAX {
            let purges = self.purges.load(Ordering::Acquire);
            let read = self.read_once(shard, from, to, bytes);
            let purged = purges % 2 == 1 || self.purges.load(Ordering::Acquire) != purges;
            if !(purged && matches!(read, Err(LogError::Damaged(_)))) {
                return read;
            }
        }
        self.read_once(shard, from, to, bytes)
    }

    fn mark(&self, shard: ShardId, mark: Mark) -> Result<Option<Bytes>, LogError> {
        self.engine.get(region(shard), mark.key()).map(|v| record::decode_mark(&v)).transpose()
    }

    fn shards(&self) -> Vec<ShardId> {
        self.engine.raft_groups().into_iter().filter_map(shard).collect()
    }

    fn bytes(&self) -> u64 {
        self.engine.get_used_size() as u64
    }
}

fn shard(region: u64) -> Option<ShardId> {
    region.checked_sub(1).and_then(|id| u16::try_from(id).ok()).map(ShardId)
}
