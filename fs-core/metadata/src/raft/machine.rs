//! Raft's state machine: commands to the machine, their changes to the map, all or nothing.

use super::encode::Mark;
use super::types::{Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::MetadataError;
use crate::batch::Replies;
use crate::board::Board;
use crate::gate::Gate;
use crate::host::Host;
use drive::map::ShardMap;
use futures_util::{Stream, StreamExt};
use map::{MapError, Overlay, WriteSet};
use openraft::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys beyond which the changes gathered from several entries go to the map.
const COMMIT_KEYS: usize = 4096;

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
}

/// The host of the machine and its map under Raft.
pub(crate) struct Applier {
    host: Host,
    board: Arc<Board>,
    map: ShardMap,
    gate: Arc<Gate>,
    mark: Mark,
    since: Arc<Since>,
    /// How far the map is durable.
    persisted: Arc<Mutex<Option<SnapshotMeta>>>,
}

fn locked(meta: &Mutex<Option<SnapshotMeta>>) -> MutexGuard<'_, Option<SnapshotMeta>> {
    // Nothing that is done under the lock panics.
    meta.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Applier {
    /// The host over what `map` has, which it was loaded from; `purged` is how far the log relies on the map.
    ///
    /// # Errors
    /// [`MetadataError::Damaged`] when log and map cannot belong together.
    pub(crate) fn open(
        (host, board): (Host, Arc<Board>),
        map: ShardMap,
        gate: Arc<Gate>,
        (purged, last): (Option<LogId>, Option<LogId>),
        voter: u64,
    ) -> Result<Applier, MetadataError> {
        let mark = map.mark()?.map_or_else(|| Ok(Mark::default()), |m| Mark::decode(&m))?;
        let shown = |id: Option<LogId>| id.map_or("nothing".to_owned(), |id| id.to_string());
        if mark.applied < purged {
            let (map, log) = (shown(mark.applied), shown(purged));
            return Err(MetadataError::Damaged(format!("the map has {map}, but the log begins after {log}")));
        }
        // The log is durable before the map hears of an entry, so it can only have lost it.
        if mark.applied > last {
            let (map, log) = (shown(mark.applied), shown(last));
            return Err(MetadataError::Damaged(format!("the map has {map}, but the log ends at {log}")));
        }
        let voters: Vec<u64> = mark.membership.voter_ids().collect();
        if !voters.is_empty() && !voters.contains(&voter) {
            return Err(MetadataError::Config(format!("voter {voter} is none of {voters:?}")));
        }
        let membership = mark.membership.clone();
        let persisted = purged.map(|id| SnapshotMeta { last_log_id: Some(id), last_membership: membership });
        board.show(host.pending());
        Ok(Applier {
            host,
            board,
            map,
            gate,
            mark,
            since: Arc::default(),
            persisted: Arc::new(Mutex::new(persisted)),
        })
    }

    pub(crate) fn since(&self) -> Arc<Since> {
        self.since.clone()
    }

    fn entry(&mut self, changes: &mut WriteSet, entry: &Entry) -> Result<Replies, MapError> {
        let mut replies = Replies::default();
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Membership(membership) => {
                self.mark.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
            }
            EntryPayload::Normal(batch) => {
                for command in batch.0.iter() {
                    replies.0.push(self.host.apply(&mut Overlay::new(&self.map, changes), command)?);
                }
                self.since.commands.fetch_add(batch.0.len() as u64, Ordering::Relaxed);
                self.since.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
            }
        }
        self.mark.applied = Some(entry.log_id);
        Ok(replies)
    }

    /// Content and mark in one commit; only then does anybody hear of it.
    fn commit(&self, changes: &mut WriteSet, answers: &mut Answers) -> Result<(), MetadataError> {
        self.map.commit(&std::mem::take(changes), &self.mark.encode()?)?;
        self.board.show(self.host.pending());
        for (responder, replies) in answers.drain(..) {
            responder.send(replies);
        }
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
            let replies = self.entry(&mut changes, &entry)?;
            answers.extend(responder.map(|r| (r, replies)));
            pending = true;
            if changes.len() >= COMMIT_KEYS {
                self.commit(&mut changes, &mut answers)?;
                pending = false;
            }
        }
        if pending { self.commit(&mut changes, &mut answers) } else { Ok(()) }
    }
}

type Answers = Vec<(ApplyResponder<TypeConfig>, Replies)>;

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotData = ();
    type SnapshotBuilder = Persist;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.mark.applied, self.mark.membership.clone()))
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
            map: self.map.clone(),
            gate: self.gate.clone(),
            mark: self.mark.clone(),
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
        Ok(locked(&self.persisted).clone().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

/// Makes the map durable; the log is purged behind it, never before.
pub(crate) struct Persist {
    map: ShardMap,
    gate: Arc<Gate>,
    /// What the map had when this began.
    mark: Mark,
    commands: u64,
    bytes: u64,
    since: Arc<Since>,
    persisted: Arc<Mutex<Option<SnapshotMeta>>>,
}

impl RaftSnapshotBuilder<TypeConfig> for Persist {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let map = self.map.clone();
        let done = tokio::task::spawn_blocking(move || map.persist()).await.map_err(io::Error::other)?;
        if let Err(e) = done {
            let e = MetadataError::Map(e);
            self.gate.stop(&e);
            return Err(io::Error::other(e));
        }
        self.since.commands.fetch_sub(self.commands, Ordering::Relaxed);
        self.since.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let meta =
            SnapshotMeta { last_log_id: self.mark.applied, last_membership: self.mark.membership.clone() };
        *locked(&self.persisted) = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}
