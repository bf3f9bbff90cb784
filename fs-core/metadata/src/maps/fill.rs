//! Filling a copy of the map from the primary, while the primary goes on.
//!
//! The copy goes through the keys in order, in small steps, each from the primary as it is then. In
//! between it takes the changes that the primary has committed, as far as they are of keys that it has
//! been through. A change that a step had seen already is made once more: changes say what becomes of a
//! key, not what to do with it, so once all changes up to the last step's place are in, the copy is what
//! the primary was there.

use super::Shared;
use super::copy::Copy;
use super::feed::Step;
use crate::MetadataError;
use crate::raft::{Mark, Progress};
use crate::roll::MapState;
use bytes::Bytes;
use map::{OrderedMap, WriteSet};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Keys of one step at most.
const STEP_KEYS: usize = 4096;

/// Above all keys.
const END: &[u8] = &[0xff; 65_537];

/// How often, and after which pause, a primary that cannot be read is tried again: there may be another one by then.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

struct Filling<'a> {
    copy: &'a Copy,
    /// Keys below are in the copy; none: all are.
    below: Option<Vec<u8>>,
    heard: Progress,
    /// Who waits for what was heard to be durable.
    waiting: Vec<oneshot::Sender<Result<(), MetadataError>>>,
}

/// Fills `copy`, whose changes come through `steps` from `progress` on. Whether it came to its end: then it
/// takes part, durably.
pub(super) async fn fill(
    shared: &Shared,
    copy: &Copy,
    progress: Progress,
    steps: &mut mpsc::Receiver<Step>,
) -> Result<bool, MetadataError> {
    let mut filling = Filling { copy, below: Some(Vec::new()), heard: progress, waiting: Vec::new() };
    copy.commit_part(&WriteSet::default())?;
    let mut seen = Progress::default();
    let mut tries = 0;
    while let Some(from) = filling.below.clone() {
        loop {
            match steps.try_recv() {
                Ok(step) => filling.take(step)?,
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(false),
            }
        }
        match read(shared, &from) {
            Ok((part, next, at)) => {
                copy.commit_part(&part)?;
                (filling.below, seen) = (next, at);
                tokio::task::yield_now().await;
            }
            Err(e) if tries == TRIES => return Err(e),
            Err(_) => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    if !filling.catch_up(&seen, steps).await? {
        return Ok(false);
    }
    // From here on the log is purged only behind this copy; what was purged before is in the primary now.
    shared.roll.set_map(copy.incarnation, MapState::Joining);
    if !filling.catch_up(&shared.progress()?, steps).await? {
        return Ok(false);
    }
    // The content first: the mark must not be durable without it.
    copy.map.persist()?;
    copy.commit(&WriteSet::default(), &filling.heard)?;
    copy.map.persist()?;
    for done in filling.waiting {
        let _ = done.send(Ok(()));
    }
    Ok(true)
}

/// Some keys of the primary from `from` on, where the next ones begin, and how far the primary was.
fn read(shared: &Shared, from: &[u8]) -> Result<(WriteSet, Option<Vec<u8>>, Progress), MetadataError> {
    let primary = shared.primary();
    let at = primary.map.snapshot();
    let mut part = WriteSet::default();
    let mut bytes = 0;
    let mut next = None;
    let mut visit = |key: &[u8], value: &[u8]| {
        if bytes >= shared.fill_bytes || part.len() >= STEP_KEYS {
            next = Some(key.to_vec());
            return false;
        }
        bytes += key.len() + value.len();
        part.record(key, Some(Bytes::copy_from_slice(value)));
        true
    };
    let read = at.scan(from, END, &mut visit).and_then(|()| at.mark());
    let mark = read.inspect_err(|_| {
        shared.suspect(primary.incarnation);
    })?;
    let progress = mark.map_or_else(|| Ok(Progress::default()), |m| Mark::decode(&m).map(|m| m.progress))?;
    Ok((part, next, progress))
}

impl Filling<'_> {
    fn take(&mut self, step: Step) -> Result<(), MetadataError> {
        match step {
            Step::Apply { changes, progress, .. } => {
                self.heard = progress;
                let Some(below) = &self.below else { return self.copy.commit_part(&changes) };
                let mut known = WriteSet::default();
                for (key, change) in changes.iter().take_while(|(key, _)| *key < &below[..]) {
                    known.record(key, change.clone());
                }
                if known.is_empty() { Ok(()) } else { self.copy.commit_part(&known) }
            }
            Step::Persist { done } => {
                self.waiting.push(done);
                Ok(())
            }
            // Only whole copies are asked; who asks hears that this one is none.
            Step::HandOver { .. } => Ok(()),
        }
    }

    /// Takes steps until everything up to `place` is in. False: there will be no more.
    async fn catch_up(
        &mut self,
        place: &Progress,
        steps: &mut mpsc::Receiver<Step>,
    ) -> Result<bool, MetadataError> {
        while !self.heard.reaches(place) {
            match steps.recv().await {
                Some(step) => self.take(step)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
