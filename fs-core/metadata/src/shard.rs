//! A shard as its users see it.

mod worker;

use crate::board::Board;
use crate::gate::Gate;
use crate::maps::Shared;
use crate::roll::Roll;
use crate::transaction::{Answer, Record};
use crate::view::Locking;
use crate::{Command, MetadataError, Pending, ShardConfig, Standing, View};
use bytes::Bytes;
use env::Running;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use types::ShardId;
use types::limits::COMMAND_BYTES_MAX;
use worker::Request;

/// Commands that wait for their entry; their bytes have a budget of their own.
const QUEUE: usize = 1024;

/// A running shard, with a worker of its own: a stalled disk stalls this shard only. When dropped
/// it finishes what is queued and closes itself.
pub struct Shard {
    id: ShardId,
    queue: mpsc::Sender<Request>,
    budget: Arc<Semaphore>,
    maps: Arc<Shared>,
    gate: Arc<Gate>,
    roll: Arc<Roll>,
    board: Arc<Board>,
    running: Running,
}

impl Shard {
    /// Opens a shard: reads its log on its homes, elects its voter, applies what the map has not,
    /// and returns when it can be read. A shard whose homes are all empty is created.
    ///
    /// # Errors
    /// [`MetadataError`]; nothing that was acknowledged was changed.
    pub async fn open(config: ShardConfig) -> Result<Shard, MetadataError> {
        let needed = config.home_count / 2 + 1;
        Shard::open_counting(config, needed).await
    }

    /// [`Shard::open`], where so many homes make an entry durable. That they are too few is a bug which tests plant.
    pub(crate) async fn open_counting(config: ShardConfig, needed: usize) -> Result<Shard, MetadataError> {
        config.check()?;
        let id = config.id;
        let gate = Arc::new(Gate::new(id));
        let budget = Arc::new(Semaphore::new(config.options.queue_bytes as usize));
        let roll = Arc::new(Roll::new(id));
        let (queue, requests) = mpsc::channel(QUEUE);
        let (opened, opening) = oneshot::channel();
        let board = Arc::new(Board::default());
        let of_worker = (gate.clone(), roll.clone(), board.clone());
        let workers = config.workers.clone();
        let work = worker::run((config, needed), requests, of_worker, opened);
        let running = workers.start(&format!("shard-{}", id.0), work);
        let running = running.map_err(|e| MetadataError::Stopped(format!("no thread for it: {e}")))?;
        match opening.await.unwrap_or_else(|_| Err(gate.reason())) {
            Ok(maps) => Ok(Shard { id, queue, budget, maps, gate, roll, board, running }),
            Err(e) => {
                running.ended().await;
                Err(e)
            }
        }
    }

    /// Which shard.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Applies a command of the machine; when its reply comes back it is durable and every later
    /// [`Shard::view`] sees it. Waits while too much is queued. Giving up waiting does not take
    /// the command back.
    ///
    /// # Errors
    /// [`MetadataError::TooLarge`] and [`MetadataError::Refused`]: it changed nothing.
    /// [`MetadataError::Stopped`] and [`MetadataError::Closed`]: it may yet take effect.
    pub async fn submit(&self, command: Bytes) -> Result<Bytes, MetadataError> {
        self.request(Command::of_machine(command)).await
    }

    /// Has a transaction's record decided here, as [`Shard::submit`] does with a command.
    ///
    /// # Errors
    /// Those of [`Shard::submit`].
    pub async fn tell(&self, record: &Record) -> Result<Answer, MetadataError> {
        let command =
            Command::of_transaction(record).ok_or(MetadataError::TooLarge(COMMAND_BYTES_MAX + 1))?;
        Answer::decode(&self.request(command).await?)
    }

    async fn request(&self, command: Command) -> Result<Bytes, MetadataError> {
        if command.len() > COMMAND_BYTES_MAX {
            return Err(MetadataError::TooLarge(command.len()));
        }
        // COMMAND_BYTES_MAX fits; an empty command costs something too.
        let cost = command.len().max(64) as u32;
        let budget = self.budget.clone().acquire_many_owned(cost).await;
        let budget = budget.map_err(|_| MetadataError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let request = Request::Command { command, reply, budget };
        self.queue.send(request).await.map_err(|_| self.gate.reason())?;
        answer.await.unwrap_or_else(|_| Err(self.gate.reason()))
    }

    /// A linearizable, consistent read: sees every command that was acknowledged before, by
    /// anyone. Does not wait and does not go through the shard's worker. What a transaction holds
    /// gives [`map::MapError::Locked`].
    ///
    /// # Errors
    /// [`MetadataError::Stopped`] or [`MetadataError::Closed`].
    pub fn view(&self) -> Result<View, MetadataError> {
        self.view_as(Locking::AllOthers(None))
    }

    /// As [`Shard::view`], with other regard to locks.
    ///
    /// # Errors
    /// Those of [`Shard::view`].
    pub fn view_as(&self, locking: Locking) -> Result<View, MetadataError> {
        self.gate.check()?;
        // The locks first: what they do not have any more is in the snapshot.
        let pending = self.board.some();
        let view = View::new(self.id, self.maps.clone(), pending, locking);
        // Who was stopped in between while the shard was opened anew has locks of before and a map of after.
        self.gate.check()?;
        Ok(view)
    }

    /// The transactions that have not ended here.
    #[must_use]
    pub fn pending(&self) -> Arc<Pending> {
        self.board.now()
    }

    /// Where [`Shard::pending`] is shown.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Whether it is open: its views are right, and it takes commands.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.gate.check().is_ok()
    }

    /// Which of the homes and copies of the map that the shard was opened with take part, now and as it changes.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.roll.watch()
    }

    /// Finishes what is queued, makes all copies of the map durable, and stops; the next opening has nothing to
    /// apply again. Commands that come later are refused. Afterwards, also after an error, the
    /// shard's threads hold neither log nor map any more.
    ///
    /// # Errors
    /// [`MetadataError`]: it had stopped before, or no copy of the map is known to be durable.
    pub async fn close(&self) -> Result<(), MetadataError> {
        let (done, closed) = oneshot::channel();
        let outcome = match self.queue.send(Request::Close { done }).await {
            Ok(()) => closed.await.unwrap_or_else(|_| Err(self.gate.reason())),
            Err(_) => Err(self.gate.reason()),
        };
        self.running.clone().ended().await;
        outcome
    }
}
