//! Raft's state machine: commands to the machine, their changes to the maps, all or nothing.

use super::execute::{self, COMMIT_KEYS};
use super::mark::Progress;
use super::persist::Persist;
use super::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::MetadataError;
use crate::batch::Replies;
use crate::board::Board;
use crate::command::Command;
use crate::gate::Gate;
use crate::host::Host;
use crate::maps::Maps;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use map::WriteSet;
use openraft::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was applied since the map was last made durable.
#[derive(Default)]
pub(crate) struct Since {
    commands: AtomicU64,
    bytes: AtomicU64,
}

impl Since {
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// This much is durable now.
    pub(super) fn settle(&self, commands: u64, bytes: u64) {
        self.commands.fetch_sub(commands, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// How far every copy of the map is durable, as Raft wants to know it.
#[derive(Clone)]
pub(super) struct Persisted(Arc<Mutex<Option<SnapshotMeta>>>);

impl Persisted {
    fn locked(&self) -> MutexGuard<'_, Option<SnapshotMeta>> {
        // Nothing that is done under the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> Option<SnapshotMeta> {
        self.locked().clone()
    }

    pub(super) fn set(&self, meta: SnapshotMeta) {
        *self.locked() = Some(meta);
    }
}

/// The host of the machine and its maps under Raft.
pub(crate) struct Applier {
    host: Host,
    board: Arc<Board>,
    maps: Arc<Maps>,
    gate: Arc<Gate>,
    progress: Progress,
    since: Arc<Since>,
    persisted: Persisted,
}

type Answers = Vec<(ApplyResponder<TypeConfig>, Replies)>;

impl Applier {
    /// The host over what `maps` have, which is `progress`; `purged` is how far the log relies on them.
    ///
    /// # Errors
    /// [`MetadataError::Config`] when the maps are another voter's.
    pub(crate) fn open(
        (host, board): (Host, Arc<Board>),
        maps: Arc<Maps>,
        progress: Progress,
        gate: Arc<Gate>,
        purged: Option<LogId>,
        voter: u64,
    ) -> Result<Applier, MetadataError> {
        let voters = progress.voters();
        if !voters.is_empty() && !voters.contains(&voter) {
            return Err(MetadataError::Config(format!("voter {voter} is none of {voters:?}")));
        }
        board.show(host.pending());
        let meta = purged.map(|id| SnapshotMeta { last_log_id: Some(id), ..progress.meta() });
        let persisted = Persisted(Arc::new(Mutex::new(meta)));
        Ok(Applier { host, board, maps, gate, progress, since: Arc::default(), persisted })
    }

    pub(crate) fn since(&self) -> Arc<Since> {
        self.since.clone()
    }

    /// Reads from another copy than `primary`, which could not be read, if that is still the one and there
    /// is another.
    pub(crate) async fn replace_primary(&self, primary: u128) {
        if self.maps.primary().incarnation != primary {
            return;
        }
        let why = MetadataError::Stopped("it cannot be read or made durable".to_owned());
        if self.maps.promote(why).await.is_err() {
            tracing::error!("the only copy of the map cannot be read or made durable");
        }
    }

    async fn entry(&mut self, changes: &mut WriteSet, entry: &Entry) -> Result<Replies, MetadataError> {
        let mut replies = Replies::default();
        if let EntryPayload::Normal(batch) = &entry.payload {
            for command in batch.0.iter() {
                replies.0.push(self.command(changes, command).await?);
            }
            self.since.commands.fetch_add(batch.0.len() as u64, Ordering::Relaxed);
            self.since.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
        }
        execute::advance(&mut self.progress, entry);
        Ok(replies)
    }

    /// Applies a command, over another copy of the map when the primary cannot be read.
    async fn command(
        &mut self,
        changes: &mut WriteSet,
        command: &Command,
    ) -> Result<Result<Bytes, crate::Refused>, MetadataError> {
        loop {
            let primary = self.maps.primary();
            match execute::command(&mut self.host, &primary.map, changes, command) {
                Ok(reply) => return Ok(reply),
                Err(e) => self.maps.promote(e.into()).await?,
            }
        }
    }

    /// Content and mark in one commit; only then does anybody hear of it.
    async fn commit(&self, changes: &mut WriteSet, answers: &mut Answers) -> Result<(), MetadataError> {
        let changes = Arc::new(std::mem::take(changes));
        while let Err(e) = self.maps.primary().commit(&changes, &self.progress) {
            self.maps.promote(e).await?;
        }
        self.board.show(self.host.pending());
        for (responder, replies) in answers.drain(..) {
            responder.send(replies);
        }
        self.maps.feed(changes, &self.progress).await;
        Ok(())
    }

    async fn all<S>(&mut self, mut entries: S) -> Result<(), MetadataError>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut changes = WriteSet::default();
        let mut answers = Answers::new();
        let mut pending = false;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next.map_err(|e| MetadataError::Damaged(e.to_string()))?;
            let replies = self.entry(&mut changes, &entry).await?;
            answers.extend(responder.map(|r| (r, replies)));
            pending = true;
            if changes.len() >= COMMIT_KEYS {
                self.commit(&mut changes, &mut answers).await?;
                pending = false;
            }
        }
        if pending { self.commit(&mut changes, &mut answers).await } else { Ok(()) }
    }
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = ();
    type SnapshotBuilder = Persist;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.progress.applied, (*self.progress.membership).clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let applied = self.all(entries).await;
        applied.map_err(|e| {
            self.gate.stop(&e);
            io::Error::other(e)
        })
    }

    async fn get_snapshot_builder(&mut self) -> Persist {
        Persist {
            maps: self.maps.clone(),
            gate: self.gate.clone(),
            progress: self.progress.clone(),
            commands: self.since.commands(),
            bytes: self.since.bytes(),
            since: self.since.clone(),
            persisted: self.persisted.clone(),
        }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, _snapshot: ()) -> Result<(), io::Error> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a lone voter has nobody to copy a map from"))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.persisted.get().map(|meta| Snapshot { meta, snapshot: () }))
    }
}
