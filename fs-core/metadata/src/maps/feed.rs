//! The bounded queue to one further copy of the map, and the worker at its end.

use super::copy::Copy;
use super::fill::fill;
use super::{STALLED, Shared};
use crate::MetadataError;
use crate::raft::Progress;
use crate::roll::MapState;
use env::Running;
use map::WriteSet;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Steps that wait at most.
const STEPS: usize = 1024;

/// Bytes of changes that wait at most.
const BYTES: usize = 8 << 20;

/// What a follower is told, in the order of the log.
pub(super) enum Step {
    /// What the primary has committed.
    Apply { changes: Arc<WriteSet>, progress: Progress, _room: OwnedSemaphorePermit },
    /// Answer when everything before is durable.
    Persist { done: oneshot::Sender<Result<(), MetadataError>> },
    /// Answer with the copy when everything before is in it; nothing follows.
    HandOver { done: oneshot::Sender<Copy> },
}

/// How a follower begins.
pub(super) enum Work {
    /// It has all that the primary has.
    Follow,
    /// It has nothing, and the primary is at this.
    Fill(Progress),
}

/// The way to a follower. Clones are the same way.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) incarnation: u128,
    steps: mpsc::Sender<Step>,
    room: Arc<Semaphore>,
    running: Running,
}

impl Feed {
    /// Starts the follower of `copy`, with a worker of its own: a stalled disk stalls this copy only.
    pub(super) fn start(shared: Arc<Shared>, copy: Copy, work: Work) -> Result<Feed, MetadataError> {
        let incarnation = copy.incarnation;
        let (steps, queue) = mpsc::channel(STEPS);
        let workers = shared.workers.clone();
        let running = workers.start("map-copy", run(shared, copy, work, queue));
        let running =
            running.map_err(|e| MetadataError::Stopped(format!("no thread for a copy of the map: {e}")))?;
        Ok(Feed { incarnation, steps, room: Arc::new(Semaphore::new(BYTES)), running })
    }

    /// Queues what was committed; waits for room, for so long as a copy may stall.
    pub(super) async fn apply(
        &self,
        changes: Arc<WriteSet>,
        bytes: usize,
        progress: Progress,
    ) -> Result<(), MetadataError> {
        // BYTES fits.
        let cost = bytes.clamp(64, BYTES) as u32;
        let room = match self.room.clone().try_acquire_many_owned(cost) {
            Ok(room) => room,
            Err(_) => within(self.room.clone().acquire_many_owned(cost)).await?,
        };
        self.send(Step::Apply { changes, progress, _room: room }).await
    }

    /// Asks for everything so far to be made durable; the answer comes later.
    pub(super) async fn persist(
        &self,
    ) -> Result<oneshot::Receiver<Result<(), MetadataError>>, MetadataError> {
        let (done, answer) = oneshot::channel();
        self.send(Step::Persist { done }).await?;
        Ok(answer)
    }

    /// Takes the copy over; it has everything that was queued.
    pub(super) async fn hand_over(self) -> Result<Copy, MetadataError> {
        let (done, answer) = oneshot::channel();
        self.send(Step::HandOver { done }).await?;
        within(answer).await
    }

    async fn send(&self, step: Step) -> Result<(), MetadataError> {
        match self.steps.try_send(step) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(step)) => within(self.steps.send(step)).await,
            Err(mpsc::error::TrySendError::Closed(_)) => Err(ended()),
        }
    }

    /// Lets the follower go and waits until it has. One that is stuck stays behind: what it wrote later would
    /// be refused.
    pub(super) async fn end(self) {
        let Feed { incarnation, steps, running, .. } = self;
        drop(steps);
        if tokio::time::timeout(STALLED, running.ended()).await.is_err() {
            tracing::error!(map = %format_args!("{incarnation:032x}"), "a copy of the map does not come to an end");
        }
    }
}

fn ended() -> MetadataError {
    MetadataError::Stopped("the copy's worker has ended".to_owned())
}

async fn within<T, E>(waiting: impl Future<Output = Result<T, E>>) -> Result<T, MetadataError> {
    match tokio::time::timeout(STALLED, waiting).await {
        Ok(result) => result.map_err(|_| ended()),
        Err(_) => Err(MetadataError::Stopped(format!("it has taken nothing for {} s", STALLED.as_secs()))),
    }
}

/// The follower: takes steps until there are none any more, or one fails.
async fn run(shared: Arc<Shared>, copy: Copy, work: Work, mut steps: mpsc::Receiver<Step>) {
    if let Work::Fill(progress) = work {
        match fill(&shared, &copy, progress, &mut steps).await {
            Ok(true) => shared.roll.set_map(copy.incarnation, MapState::Whole),
            Ok(false) => return,
            Err(e) => return shared.roll.map_out(copy.incarnation, &e),
        }
    }
    while let Some(step) = steps.recv().await {
        let done = match step {
            Step::Apply { changes, progress, .. } => copy.commit(&changes, &progress),
            Step::Persist { done } => {
                // Beside the steps that follow: tables take their time.
                let map = copy.map.clone();
                shared.workers.blocking(move || done.send(map.persist().map_err(MetadataError::from)));
                Ok(())
            }
            Step::HandOver { done } => return drop(done.send(copy)),
        };
        if let Err(e) = done {
            return shared.roll.map_out(copy.incarnation, &e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::Workers;

    #[tokio::test(start_paused = true)]
    async fn what_takes_nothing_is_waited_for_so_long_and_no_longer() {
        let (steps, mut queue) = mpsc::channel(STEPS);
        let running = Workers::default().start("nothing", async {}).unwrap();
        let feed = Feed { incarnation: 1, steps, room: Arc::new(Semaphore::new(BYTES)), running };
        let apply = |bytes| feed.apply(Arc::default(), bytes, Progress::default());
        // Larger than all the room there is: it takes the whole of it.
        apply(2 * BYTES).await.unwrap();
        let before = tokio::time::Instant::now();
        assert!(apply(1).await.unwrap_err().to_string().contains("taken nothing for 5 s"));
        assert_eq!(before.elapsed().as_secs(), STALLED.as_secs());
        drop(queue.recv().await);
        for _ in 0..STEPS {
            apply(1).await.unwrap();
        }
        assert!(apply(1).await.is_err() && feed.persist().await.is_err());
        drop(queue);
        assert!(apply(1).await.unwrap_err().to_string().contains("ended"));
        feed.end().await;
    }
}
