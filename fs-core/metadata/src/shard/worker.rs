//! The shard's worker: starts Raft, folds commands into entries, one entry at a time.

use crate::batch::{Batch, COMMANDS_MAX};
use crate::board::Board;
use crate::command::Command;
use crate::gate::Gate;
use crate::maps::{self, Maps, Shared};
use crate::raft::{Applier, NoPeers, Node, Raft, RaftLog, Since};
use crate::roll::Roll;
use crate::{MetadataError, ShardConfig, ShardOptions, homes, raft};
use bytes::Bytes;
use openraft::{ReadPolicy, ServerState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Bytes of commands beyond which an entry takes no further one.
const ENTRY_BYTES: usize = 1 << 20;

/// How long the voter may take to win an election in which nobody else votes.
const ELECTION: Duration = Duration::from_secs(60);

/// The part of what may be applied before the maps are made durable that an opening may have to apply again: beyond it
/// they are made durable then, so that short lives do not each take longer than the one before.
const AGAIN: u64 = 64;

type Reply = oneshot::Sender<Result<Bytes, MetadataError>>;

pub(super) enum Request {
    Command { command: Command, reply: Reply, budget: OwnedSemaphorePermit },
    Close { done: oneshot::Sender<Result<(), MetadataError>> },
}

/// Commands of the next entry, and who waits for them.
#[derive(Default)]
struct Group {
    commands: Vec<Command>,
    replies: Vec<Reply>,
    budgets: Vec<OwnedSemaphorePermit>,
    bytes: usize,
}

struct Running {
    raft: Raft,
    log: RaftLog,
    since: Arc<Since>,
    maps: Arc<Maps>,
    options: ShardOptions,
    gate: Arc<Gate>,
}

/// Shuts the gate however the worker ends.
struct Ending(Arc<Gate>);

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(&MetadataError::Stopped("its worker panicked".to_owned()));
        }
        self.0.stop(&MetadataError::Closed);
    }
}

/// The shard's life, from its opening to its end.
pub(super) fn run(
    (config, needed): (ShardConfig, usize),
    requests: mpsc::Receiver<Request>,
    (gate, roll, board): (Arc<Gate>, Arc<Roll>, Arc<Board>),
    opened: oneshot::Sender<Result<Arc<Shared>, MetadataError>>,
) -> impl Future<Output = ()> + Send {
    // Made here, so that it ends with a future that never ran, too.
    let ending = Ending(gate.clone());
    async move {
        let _ending = ending;
        match start((config, needed), gate.clone(), (roll, board)).await {
            Ok(running) => {
                gate.open();
                let _ = opened.send(Ok(running.maps.shared()));
                running.serve(requests).await;
            }
            Err(e) => {
                gate.stop(&e);
                let _ = opened.send(Err(e));
            }
        }
    }
}

fn stopped(e: impl std::fmt::Display) -> MetadataError {
    MetadataError::Stopped(e.to_string())
}

async fn start(
    (config, needed): (ShardConfig, usize),
    gate: Arc<Gate>,
    (roll, board): (Arc<Roll>, Arc<Board>),
) -> Result<Running, MetadataError> {
    let homes = homes::recover(&config, needed, roll.clone()).await?;
    let log = RaftLog::open(homes, gate.clone())?;
    let opened = maps::open(&config, &log).await?;
    let progress = opened.progress.clone();
    let maps = Arc::new(Maps::start(opened, roll, config.options.fill_bytes, config.workers.clone()));
    let settings = raft::config(true).map_err(stopped)?;
    let running = async {
        let host = config.hosting().over(&maps.primary().map)?;
        let purged = log.ends().0;
        let host = (host, board);
        let applier = Applier::open(host, maps.clone(), progress, gate.clone(), purged, config.voter)?;
        let since = applier.since();
        let raft = Raft::new(config.voter, settings, NoPeers, log.clone(), applier).await.map_err(stopped)?;
        let (maps, gate, options) = (maps.clone(), gate.clone(), config.options);
        let running = Running { raft, log, since, maps, options, gate };
        match running.lead(config.voter).await {
            Ok(()) => Ok(running),
            Err(e) => {
                // The first reason says more than what followed from it.
                let _ = running.raft.shutdown().await;
                Err(running.gate.stopped().unwrap_or(e))
            }
        }
    };
    let running = running.await;
    if running.is_err() {
        maps.end().await;
    }
    running
}

impl Running {
    /// Makes the lone voter leader, in a new term, with everything applied that the log has.
    async fn lead(&self, voter: u64) -> Result<(), MetadataError> {
        if self.raft.is_initialized().await.map_err(stopped)? {
            self.raft.trigger().elect(false).await.map_err(stopped)?;
        } else {
            let members: BTreeMap<u64, Node> = [(voter, Node::default())].into();
            self.raft.initialize(members).await.map_err(stopped)?;
        }
        self.raft.wait(Some(ELECTION)).state(ServerState::Leader, "elected").await.map_err(stopped)?;
        // Waits until the first entry of its own term is applied, and so all before it.
        self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await.map_err(stopped)?;
        let (commands, bytes) = (self.options.persist_commands, self.options.persist_bytes);
        if self.since.commands() >= commands / AGAIN || self.since.bytes() >= bytes / AGAIN {
            self.raft.trigger().snapshot().await.map_err(stopped)?;
        }
        Ok(())
    }

    async fn serve(self, mut requests: mpsc::Receiver<Request>) {
        let mut closing = None;
        let mut persist_at = (self.options.persist_commands, self.options.persist_bytes);
        loop {
            let next = tokio::select! {
                // In an order that replays, and in which what is rare does not wait for ever.
                biased;
                () = self.log.pressed() => {
                    if let Err(e) = self.raft.trigger().snapshot().await {
                        self.gate.stop(&stopped(e));
                    }
                    continue;
                }
                primary = self.maps.suspected() => {
                    // The applier is the one who may change it, between two entries.
                    let changed = self.raft.with_state_machine(move |applier: &mut Applier| {
                        Box::pin(async move { applier.replace_primary(primary).await })
                    });
                    if let Err(e) = changed.await {
                        self.gate.stop(&stopped(e));
                    }
                    continue;
                }
                next = requests.recv() => next,
            };
            let Some(first) = next else { break };
            let mut group = Group::default();
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Command { command, reply, budget } => {
                        group.bytes += command.len();
                        group.commands.push(command);
                        group.replies.push(reply);
                        group.budgets.push(budget);
                    }
                    Request::Close { done } => {
                        requests.close();
                        closing = Some(done);
                    }
                }
                if group.commands.len() < COMMANDS_MAX && group.bytes < ENTRY_BYTES {
                    next = requests.try_recv().ok();
                }
            }
            if !group.commands.is_empty() && !self.entry(group).await {
                break;
            }
            if !self.persist_when_due(&mut persist_at).await {
                break;
            }
        }
        // Dropping the receiver alone would leave a request that is on its way into the queue just
        // now there for ever, as the shard's own handle keeps the queue.
        requests.close();
        while let Some(request) = requests.recv().await {
            if let Request::Close { done } = request {
                closing = Some(done);
            }
        }
        let end = self.end().await;
        if let Some(done) = closing {
            let _ = done.send(end);
        }
    }

    /// Writes one entry and answers; whether the shard goes on.
    async fn entry(&self, group: Group) -> bool {
        let outcome = match self.gate.check() {
            Ok(()) => self.raft.client_write(Batch(group.commands.into())).await.map_err(stopped),
            Err(e) => Err(e),
        };
        match outcome {
            Ok(written) => {
                for (reply, result) in group.replies.into_iter().zip(written.data.0) {
                    let _ = reply.send(result.map_err(MetadataError::from));
                }
                true
            }
            Err(e) => {
                self.gate.stop(&e);
                for reply in group.replies {
                    let _ = reply.send(Err(self.gate.reason()));
                }
                false
            }
        }
    }

    /// Asks for the maps to be made durable when enough was applied since it was.
    async fn persist_when_due(&self, due: &mut (u64, u64)) -> bool {
        let (commands, bytes) = (self.since.commands(), self.since.bytes());
        let limits = (self.options.persist_commands, self.options.persist_bytes);
        if commands < limits.0 && bytes < limits.1 {
            *due = limits;
        } else if commands >= due.0 || bytes >= due.1 {
            // Asked once; again only if as much comes on top and it was not done.
            *due = (commands + limits.0, bytes + limits.1);
            if let Err(e) = self.raft.trigger().snapshot().await {
                self.gate.stop(&stopped(e));
                return false;
            }
        }
        true
    }

    /// Ends Raft, then makes the maps durable unless something had failed.
    async fn end(self) -> Result<(), MetadataError> {
        let _ = self.raft.shutdown().await;
        let persisted = match self.gate.check() {
            Ok(()) => self.maps.persist().await.map(|_| ()),
            Err(e) => Err(e),
        };
        self.maps.end().await;
        if let Err(e) = &persisted {
            self.gate.stop(e);
        }
        self.gate.stop(&MetadataError::Closed);
        persisted
    }
}
