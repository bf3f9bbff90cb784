//! The committer: takes all changes that wait, writes them into the journal, and makes them and the
//! data they name durable with the sync that goes with that.

use super::{Shared, State};
use crate::chunk::{ChunkHeader, ChunkKey};
use crate::index::Located;
use crate::journal::{BATCH_RECORDS_MAX, Journal, Record};
use crate::service::{DriveError, FREE_MAX, Writer};
use env::BlockError;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Changes taken into one batch; with [`FREE_MAX`] it keeps a batch within [`BATCH_RECORDS_MAX`].
const BATCH_CHANGES_MAX: usize = 256;
const _: () = assert!(3 * BATCH_CHANGES_MAX + FREE_MAX <= BATCH_RECORDS_MAX);

pub(super) enum Change {
    /// The data are written; the chunk counts once this is durable.
    Put {
        header: Arc<ChunkHeader>,
        replace: bool,
        fence: bool,
    },
    Free {
        keys: Vec<ChunkKey>,
        fence: Option<Writer>,
    },
    Fence(Writer),
}

pub(super) struct Commit {
    pub(super) change: Change,
    pub(super) reply: oneshot::Sender<Result<(), DriveError>>,
}

/// Runs until the store is closed and all its writes have ended.
pub(super) async fn run(shared: Arc<Shared>, mut journal: Journal, mut queue: mpsc::Receiver<Commit>) {
    let mut held: Option<Commit> = None;
    loop {
        let Some(first) = (match held.take() {
            Some(commit) => Some(commit),
            None => queue.recv().await,
        }) else {
            break;
        };
        let mut records = weight(&first.change);
        let mut batch = vec![first];
        while batch.len() < BATCH_CHANGES_MAX
            && let Ok(next) = queue.try_recv()
        {
            let weight = weight(&next.change);
            if records + weight > BATCH_RECORDS_MAX {
                held = Some(next);
                break;
            }
            records += weight;
            batch.push(next);
        }
        commit(&shared, &mut journal, batch).await;
    }
    let (failed, sequence) = {
        let state = shared.state.lock();
        (state.failed.is_some(), state.sequence)
    };
    if !failed && let Err(error) = close(&shared, &mut journal, sequence).await {
        tracing::warn!(drive = shared.layout.drive.0, %error, "the drive could not be closed cleanly");
    }
}

fn weight(change: &Change) -> usize {
    match change {
        Change::Put { .. } => 2,
        Change::Free { keys, .. } => keys.len() + 1,
        Change::Fence(_) => 1,
    }
}

async fn close(shared: &Shared, journal: &mut Journal, sequence: u64) -> Result<(), BlockError> {
    make_room(shared, journal, 0).await?;
    journal.append_clean(sequence).await
}

async fn make_room(shared: &Shared, journal: &mut Journal, records: usize) -> Result<(), BlockError> {
    if journal.has_room(records) {
        return Ok(());
    }
    let (live, sequence) = {
        let state = shared.state.lock();
        (live_records(&state), state.sequence)
    };
    journal.checkpoint(&live, sequence).await
}

/// Everything a checkpoint must hold.
pub(super) fn live_records(state: &State) -> Vec<Record> {
    let fences = state.fences.iter().map(|(&id, fence)| Record::Fence(Writer { id, epoch: fence.epoch }));
    let mut records: Vec<Record> = fences.collect();
    let mut from = Some(ChunkKey::FIRST);
    while let Some(key) = from {
        let part = state.index.list(key, 4096);
        from = part.last().and_then(|last| last.info.key.next());
        records.extend(part.into_iter().map(Record::Put));
    }
    records
}

async fn commit(shared: &Shared, journal: &mut Journal, batch: Vec<Commit>) {
    let mut records = Vec::new();
    let mut replaces = false;
    let mut accepted = Vec::with_capacity(batch.len());
    {
        let mut state = shared.state.lock();
        for Commit { change, reply } in batch {
            match prepare(&mut state, &change, &mut records) {
                Ok(()) => {
                    replaces |= matches!(change, Change::Put { replace: true, .. });
                    accepted.push(Commit { change, reply });
                }
                Err(error) => {
                    state.undo(&change);
                    // The asker may have gone: then nobody wants the answer.
                    let _ = reply.send(Err(error));
                }
            }
        }
    }
    if accepted.is_empty() {
        return;
    }
    let result = persist(shared, journal, &records, replaces).await;
    let mut state = shared.state.lock();
    if let Err(error) = &result {
        shared.device(error.clone());
        // After a failed sync nobody knows what is on the device: what is written next could rest on nothing.
        state.failed.get_or_insert_with(|| error.to_string());
    }
    for Commit { change, reply } in accepted {
        if result.is_ok() {
            apply(shared, &mut state, change);
        }
        // On failure units stay taken and keys stay "writing": the drive takes no more writes anyway.
        let _ = reply.send(result.clone().map_err(DriveError::from));
    }
}

/// Decides about one change and adds its records.
fn prepare(state: &mut State, change: &Change, records: &mut Vec<Record>) -> Result<(), DriveError> {
    state.check_failed()?;
    match change {
        Change::Put { header, fence, .. } => {
            let writer = Writer { id: header.writer, epoch: header.epoch };
            state.check_fence(writer)?;
            if *fence {
                records.push(Record::Fence(writer));
            }
            records.push(Record::Put(located(header)));
        }
        Change::Free { keys, fence } => {
            if keys.iter().any(|key| state.writing.contains(key)) {
                return Err(DriveError::Busy);
            }
            records.extend(fence.map(Record::Fence));
            let there = keys.iter().filter(|key| state.index.get(key).is_some());
            records.extend(there.map(|key| Record::Free(*key)));
        }
        Change::Fence(writer) => records.push(Record::Fence(*writer)),
    }
    Ok(())
}

async fn persist(
    shared: &Shared,
    journal: &mut Journal,
    records: &[Record],
    replaces: bool,
) -> Result<(), BlockError> {
    if records.is_empty() {
        return Ok(());
    }
    if replaces {
        // The old chunk must not be given up before the new one is whole.
        shared.file.sync().await?;
    }
    make_room(shared, journal, records.len()).await?;
    let sequence = shared.state.lock().sequence;
    journal.append(records, sequence).await
}

fn apply(shared: &Shared, state: &mut State, change: Change) {
    match change {
        Change::Put { header, fence, .. } => {
            if fence {
                state.fence_is_durable(Writer { id: header.writer, epoch: header.epoch });
            }
            state.writing.remove(&header.info.key);
            if let Some(old) = state.index.insert(located(&header)) {
                state.release(&old);
            }
            shared.headers.lock().insert(header);
        }
        Change::Free { keys, fence } => {
            if let Some(writer) = fence {
                state.fence_is_durable(writer);
            }
            for key in keys {
                if let Some(old) = state.index.remove(&key) {
                    shared.headers.lock().remove(&key);
                    state.release(&old);
                }
            }
        }
        Change::Fence(writer) => state.fence_is_durable(writer),
    }
}

pub(super) fn located(header: &ChunkHeader) -> Located {
    Located { info: header.info, unit: header.unit }
}

impl State {
    /// Takes back what a change that will not happen has taken.
    pub(super) fn undo(&mut self, change: &Change) {
        if let Change::Put { header, .. } = change {
            self.writing.remove(&header.info.key);
            self.release(&located(header));
        }
    }
}
