//! Raft's log on the voter's homes. What is not applied yet is served from memory.

use super::encode;
use super::types::{Entry, LogId, TypeConfig, Vote, log_id};
use crate::MetadataError;
use crate::gate::Gate;
use crate::homes::Homes;
use drive::log::{LogWrite, Mark};
use futures_util::Stream;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Entries kept in memory for readers, beside those that are not durable yet.
const TAIL_ENTRIES: usize = 256;

/// Bytes read from a home at once.
const READ_BYTES: usize = 1 << 20;

/// The voter's log; storage and reader at once. Clones share it.
#[derive(Clone)]
pub(crate) struct RaftLog {
    homes: Arc<Homes>,
    gate: Arc<Gate>,
    state: Arc<Mutex<State>>,
    /// One past the last index known to be durable.
    durable: Arc<AtomicU64>,
}

struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// Where entries begin, once there are any.
    first: Option<u64>,
    /// The newest entries, without a gap up to `last`.
    tail: VecDeque<Entry>,
}

fn other(error: impl Into<MetadataError>) -> io::Error {
    io::Error::other(error.into())
}

impl RaftLog {
    /// The log on `homes`, recovered.
    pub(crate) fn open(homes: Homes, gate: Arc<Gate>) -> Result<RaftLog, MetadataError> {
        let vote = homes.mark(Mark::Vote)?.map(encode::read_vote).transpose()?;
        let purged = homes.mark(Mark::Purged)?.map(encode::read_id).transpose()?;
        let mut last = purged;
        let mut end = purged.map_or(0, |p| p.index + 1);
        let mut first = None;
        if let Some(bounds) = homes.bounds() {
            let newest = homes.read(bounds.last, bounds.last + 1, READ_BYTES)?;
            if let Some(newest) = newest.first().filter(|n| n.index >= end) {
                last = Some(log_id(newest.term, newest.index));
                first = Some(bounds.first.max(end));
                end = newest.index + 1;
            }
        }
        let state = State { vote, purged, last, first, tail: VecDeque::new() };
        let state = Arc::new(Mutex::new(state));
        Ok(RaftLog { homes: Arc::new(homes), gate, state, durable: Arc::new(AtomicU64::new(end)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last purged and the last entry.
    pub(crate) fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        let state = self.state();
        (state.purged, state.last)
    }

    /// The term of the last vote.
    pub(crate) fn term(&self) -> u64 {
        self.state().vote.map_or(0, |vote| vote.leader_id().term)
    }

    /// Whether `id` is an entry of this log, or the last one that was purged.
    pub(crate) fn has(&self, id: &LogId) -> Result<bool, MetadataError> {
        if self.state().purged == Some(*id) {
            return Ok(true);
        }
        Ok(self.some(id.index, id.index + 1)?.first().is_some_and(|entry| entry.log_id == *id))
    }

    /// See [`Homes::pressed`].
    pub(crate) async fn pressed(&self) {
        self.homes.pressed().await;
    }

    /// Shows all entries `next..to` that there are, some at a time.
    fn walk(&self, (mut next, to): (u64, u64), mut show: impl FnMut(Vec<Entry>)) -> Result<(), io::Error> {
        loop {
            let some = self.some(next, to).map_err(other)?;
            match some.last() {
                Some(last) => next = last.log_id.index + 1,
                None => return Ok(()),
            }
            show(some);
        }
    }

    /// Entries from `from`, at most up to before `to` and at least one if there is one.
    pub(super) fn some(&self, from: u64, to: u64) -> Result<Vec<Entry>, MetadataError> {
        let (from, to) = {
            let state = self.state();
            let Some(first) = state.first else { return Ok(Vec::new()) };
            let from = from.max(first);
            let to = to.min(state.last.map_or(0, |l| l.index + 1));
            if from >= to {
                return Ok(Vec::new());
            }
            match state.tail.front().map(|e| e.log_id.index) {
                Some(first) if first <= from => {
                    let skip = (from - first) as usize;
                    let take = (to - from) as usize;
                    return Ok(state.tail.iter().skip(skip).take(take).cloned().collect());
                }
                Some(first) => (from, to.min(first)),
                None => (from, to),
            }
        };
        let records = self.homes.read(from, to, READ_BYTES)?;
        records.into_iter().map(encode::entry).collect()
    }
}

fn limits(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<TypeConfig> for RaftLog {
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        // A long log is never in memory as a whole.
        struct Walk {
            log: RaftLog,
            next: u64,
            to: u64,
            ready: std::vec::IntoIter<Entry>,
        }
        let (next, to) = limits(&range);
        let walk = Walk { log: self.clone(), next, to, ready: Vec::new().into_iter() };
        Box::pin(futures_util::stream::try_unfold(walk, |mut walk| async move {
            if walk.ready.len() == 0 && walk.next < walk.to {
                walk.ready = walk.log.some(walk.next, walk.to).map_err(other)?.into_iter();
            }
            Ok(walk.ready.next().map(|entry| {
                walk.next = entry.log_id.index + 1;
                (entry, walk)
            }))
        }))
    }

    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let mut all = Vec::new();
        self.walk(limits(&range), |some| all.extend(some))?;
        Ok(all)
    }

    /// The last entry of each leader. The library would look for each of them by halving, a read of the drive for each look, which
    /// costs more with each life that the log remembers.
    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> Result<Vec<LogId>, io::Error> {
        let mut last_of_each: Vec<LogId> = Vec::new();
        self.walk((range.start().index, range.end().index + 1), |some| {
            for Entry { log_id, .. } in some {
                match last_of_each.last_mut() {
                    Some(last) if last.leader_id == log_id.leader_id => *last = log_id,
                    _ => last_of_each.push(log_id),
                }
            }
        })?;
        Ok(last_of_each)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.state().vote)
    }
}

impl RaftLogStorage<TypeConfig> for RaftLog {
    type LogReader = RaftLog;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let (last_purged_log_id, last_log_id) = self.ends();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> RaftLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let write = LogWrite { marks: vec![(Mark::Vote, encode::vote(vote))], ..LogWrite::default() };
        self.homes.write_durably(write).await.map_err(other)?;
        self.state().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut records = Vec::new();
        let end = {
            let mut state = self.state();
            for entry in entries {
                records.push(encode::record(&entry).map_err(other)?);
                state.first = state.first.or(Some(entry.log_id.index));
                state.last = Some(entry.log_id);
                state.tail.push_back(entry);
            }
            let durable = self.durable.load(Ordering::Acquire);
            while state.tail.len() > TAIL_ENTRIES
                && state.tail.front().is_some_and(|e| e.log_id.index < durable)
            {
                state.tail.pop_front();
            }
            state.last.map_or(0, |l| l.index + 1)
        };
        let (durable, gate) = (self.durable.clone(), self.gate.clone());
        let write = LogWrite { entries: records, ..LogWrite::default() };
        let done = move |result: Result<(), drive::log::LogError>| {
            match &result {
                Ok(()) => {
                    durable.fetch_max(end, Ordering::AcqRel);
                }
                Err(e) => gate.stop(&e.clone().into()),
            }
            callback.io_completed(result.map_err(other));
        };
        self.homes.write(write, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |l| l.index + 1);
        {
            let mut state = self.state();
            if state.last.is_none_or(|last| last.index < from) {
                return Ok(());
            }
            while state.tail.back().is_some_and(|e| e.log_id.index >= from) {
                state.tail.pop_back();
            }
            state.last = last_log_id;
            state.first = state.first.filter(|first| *first < from);
            self.durable.fetch_min(from, Ordering::AcqRel);
        }
        let write = LogWrite { cut_from: Some(from), ..LogWrite::default() };
        self.homes.write_durably(write).await.map_err(other)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        {
            let mut state = self.state();
            while state.tail.front().is_some_and(|e| e.log_id.index <= log_id.index) {
                state.tail.pop_front();
            }
            state.purged = Some(log_id).max(state.purged);
            let follows = log_id.index + 1;
            let any = state.last.is_some_and(|last| last.index >= follows);
            state.first = state.first.filter(|_| any).map(|first| first.max(follows));
            state.last = state.last.max(state.purged);
        }
        let marks = vec![(Mark::Purged, encode::id(&log_id))];
        let write = LogWrite { marks, purge_to: Some(log_id.index), ..LogWrite::default() };
        let gate = self.gate.clone();
        // Nobody needs to wait: a purge that a crash takes is done again.
        self.homes.write(
            write,
            Box::new(move |result| {
                if let Err(e) = result {
                    gate.stop(&e.into());
                }
            }),
        );
        Ok(())
    }
}
