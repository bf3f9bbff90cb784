//! The executor: runs a command that needs several shards until it has taken effect in all of them, or in none.

use super::active::Begun;
use super::{Inner, MEETINGS, PATIENCE, ShardSet, Views};
use crate::transaction::{AfterCommit, AfterPrepare, Attempt, Plan, Trial, run};
use crate::{Age, Answer, Locking, Member, MetadataError, Record, TxId};
use bytes::Bytes;
use futures_util::future::join_all;
use map::{Locked, MapError, Reads, WriteSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use types::ShardId;

/// Times that a try looks again before it lets go of what it holds.
const LOOKS: u32 = 8;
/// Pause when nobody can be waited for by name.
const PAUSE: Duration = Duration::from_millis(2);

/// What became of one try.
enum End {
    Done(Bytes),
    /// Nothing happened; begin anew when this holds nothing any more.
    Again(Option<Locked>),
    Failed(MetadataError),
}

/// A command with all that stays the same over its tries.
struct Operation {
    home: ShardId,
    command: Bytes,
    age: Age,
    deadline: Instant,
}

impl<M: Member> ShardSet<M> {
    /// Runs a command over all shards. Goes on when the caller gives up.
    pub(super) async fn transact(&self, home: ShardId, command: Bytes) -> Result<Bytes, MetadataError> {
        let (told, outcome) = oneshot::channel();
        let (set, age, deadline) = (self.inner.clone(), self.inner.age(), Instant::now() + PATIENCE);
        self.tasks.spawn(async move {
            set.operate(&Operation { home, command, age, deadline }, told).await;
        });
        outcome.await.unwrap_or_else(|_| Err(MetadataError::InDoubt("its executor has ended".to_owned())))
    }
}

type Told = oneshot::Sender<Result<Bytes, MetadataError>>;

impl<M: Member> Inner<M> {
    async fn operate(self: Arc<Self>, operation: &Operation, told: Told) {
        let mut told = Some(told);
        let mut tell = |outcome| {
            // Who gave up waiting need not be told.
            drop(told.take().map(|told| told.send(outcome)));
        };
        // Whoever is quick comes first at a look. Who was in vain so often asks the shards, which go by age.
        let mut in_vain = 0;
        while Instant::now() < operation.deadline {
            let manner = if in_vain < MEETINGS { Manner::Waiting } else { Manner::Queueing };
            in_vain += 1;
            let plan = match self.look(operation, None, manner).await {
                Ok(Looked::Plan(plan)) => plan,
                Ok(Looked::Reply(reply)) => return tell(Ok(reply)),
                Ok(Looked::Again(Some(locked))) => {
                    self.unlocked(locked).await;
                    continue;
                }
                Ok(Looked::Again(None)) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) => return tell(Err(error)),
            };
            let moving = self.still.read().await;
            let begun = self.active.begin().await;
            let key = (begun.tx, operation.age);
            let mut attempt = Attempt::new(key, operation.home, operation.command.clone(), plan);
            let end = self.attempt(operation, &mut attempt).await;
            let (wait, ended) = match end {
                End::Done(reply) => {
                    tell(Ok(reply));
                    (None, self.conclude(&attempt, &begun, true).await)
                }
                End::Again(wait) => (Some(wait), self.conclude(&attempt, &begun, false).await),
                End::Failed(error) => {
                    // What is in doubt is ended from what the coordinator says when it answers again.
                    let in_doubt = matches!(error, MetadataError::InDoubt(_));
                    tell(Err(error));
                    (None, !in_doubt && self.conclude(&attempt, &begun, false).await)
                }
            };
            drop((begun, moving));
            if !ended {
                self.recovery.notify_one();
            }
            match wait {
                None => return,
                Some(Some(locked)) => self.unlocked(locked).await,
                Some(None) => tokio::time::sleep(PAUSE).await,
            }
        }
        tell(Err(MetadataError::Busy));
    }

    /// Runs the command over views; as `tx` where that holds something already.
    async fn look(
        self: &Arc<Self>,
        operation: &Operation,
        tx: Option<TxId>,
        manner: Manner,
    ) -> Result<Looked, MetadataError> {
        match self.look_at_unlocked(operation, tx, manner).await? {
            // Who holds something already must not lose it to whoever is quicker.
            Looked::Again(Some(locked)) if manner == Manner::Queueing || tx.is_some() => {
                let plan = self.look_past_locks(operation).await?;
                Ok(plan.map_or(Looked::Again(Some(locked)), Looked::Plan))
            }
            looked => Ok(looked),
        }
    }

    async fn look_at_unlocked(
        self: &Arc<Self>,
        operation: &Operation,
        tx: Option<TxId>,
        manner: Manner,
    ) -> Result<Looked, MetadataError> {
        let views = Views::new(self.clone(), Locking::AllOthers(tx));
        let Trial { outcome, mut reads, writes } = self.try_out(&views, operation).await;
        if let Err(MapError::Locked(locked)) = outcome {
            return Ok(Looked::Again(Some(locked)));
        }
        if outcome.is_ok() && !writes.is_empty() {
            if manner == Manner::Queueing {
                reads.unguard();
            }
            match self.still_peeked(&reads, tx).await {
                Ok(true) => {}
                Ok(false) => return Ok(Looked::Again(None)),
                Err(MapError::Locked(locked)) => return Ok(Looked::Again(Some(locked))),
                Err(error) => return Err(unseen(error)),
            }
            return self.plan(operation, reads, &writes).map(Looked::Plan);
        }
        // Nothing is written. Views of several moments may show what never was.
        match views.hold(reads).await {
            Ok(true) => outcome.map(Looked::Reply).map_err(unseen),
            Ok(false) => Ok(Looked::Again(None)),
            Err(MapError::Locked(locked)) => Ok(Looked::Again(Some(locked))),
            Err(error) => Err(unseen(error)),
        }
    }

    /// What the command would write if nobody held anything. It may be wrong: so all that was read is for the
    /// shards to compare, what is under a guard too, and an answer that writes nothing does not count.
    async fn look_past_locks(self: &Arc<Self>, operation: &Operation) -> Result<Option<Plan>, MetadataError> {
        let views = Views::new(self.clone(), Locking::Nobody);
        let Trial { outcome, mut reads, writes } = self.try_out(&views, operation).await;
        if outcome.is_err() || writes.is_empty() {
            return Ok(None);
        }
        reads.unguard();
        self.plan(operation, reads, &writes).map(Some)
    }

    fn plan(&self, operation: &Operation, reads: Reads, writes: &WriteSet) -> Result<Plan, MetadataError> {
        Plan::new(operation.home, &self.slots, self.digest_key, reads, writes)
    }

    /// A guard vouches for what is read after it. A view is of the moment at which its shard was first asked, which may
    /// be before the guard was read: so what it guards is read once more.
    async fn still_peeked(self: &Arc<Self>, reads: &Reads, tx: Option<TxId>) -> Result<bool, MapError> {
        if reads.peeks.is_empty() {
            return Ok(true);
        }
        let peeks = Reads { peeks: reads.peeks.clone(), ..Reads::default() };
        let views = Views::new(self.clone(), Locking::AllOthers(tx));
        views.read(|views| peeks.hold_in(views)).await
    }

    /// Runs the command over views, with all that it reads of them.
    async fn try_out(&self, views: &Views<M>, operation: &Operation) -> Trial {
        loop {
            let trial = run(&*self.machine, views, &operation.command);
            if trial.outcome != Err(MapError::Absent) {
                return trial;
            }
            if let Err(error) = views.fetch().await {
                return Trial { outcome: Err(error), ..trial };
            }
        }
    }

    async fn tell(&self, shard: ShardId, record: Record) -> Result<Answer, MetadataError> {
        self.member(shard)?.tell(record).await
    }

    /// One try, up to the decision.
    async fn attempt(self: &Arc<Self>, operation: &Operation, attempt: &mut Attempt) -> End {
        let mut looks = 0;
        loop {
            let asked = attempt.prepares().into_iter().map(|(shard, record)| async move {
                let answer = self.tell(shard, record).await;
                if let Err(MetadataError::TooLarge(size)) = answer {
                    return Err(MetadataError::TooLarge(size));
                }
                Ok((shard, answer.ok()))
            });
            let answers: Result<Vec<_>, _> = join_all(asked).await.into_iter().collect();
            let after = match answers {
                Ok(answers) => attempt.prepared(answers),
                Err(error) => return End::Failed(error),
            };
            match after {
                AfterPrepare::Commit => return self.decide(operation, attempt).await,
                AfterPrepare::Hold(shard, tx) => {
                    if Instant::now() > operation.deadline {
                        return End::Again(None);
                    }
                    self.unlocked(Locked { shard, holder: tx.as_u128() }).await;
                }
                AfterPrepare::GiveWay(wait) => return End::Again(wait.map(locked)),
                AfterPrepare::Fail(refused) => return End::Failed(refused.into()),
                AfterPrepare::Stop => return End::Failed(ended_by_another()),
                AfterPrepare::Look if looks == LOOKS => return End::Again(None),
                AfterPrepare::Look => {
                    looks += 1;
                    match self.look(operation, Some(attempt.tx), Manner::Waiting).await {
                        Ok(Looked::Plan(plan)) => attempt.look(plan),
                        // It has nothing to write any more: found again without what is held.
                        Ok(Looked::Reply(_)) => return End::Again(None),
                        Ok(Looked::Again(wait)) => return End::Again(wait),
                        Err(error) => return End::Failed(error),
                    }
                }
            }
        }
    }

    /// Everything is held: asks the coordinator.
    async fn decide(&self, operation: &Operation, attempt: &Attempt) -> End {
        let (home, alone) = (operation.home, attempt.participants().is_empty());
        loop {
            let answer = match self.tell(home, attempt.commit()).await {
                Ok(answer) => answer,
                Err(error @ MetadataError::TooLarge(_)) => return End::Failed(error),
                Err(error) => return self.ask(home, attempt, None, alone.then_some(error)).await,
            };
            match attempt.committed(answer) {
                AfterCommit::Done(reply) => return End::Done(reply),
                AfterCommit::Hold(shard, tx) if Instant::now() < operation.deadline => {
                    self.unlocked(Locked { shard, holder: tx.as_u128() }).await;
                }
                AfterCommit::Hold(shard, tx) => {
                    return self.give_way(home, attempt, alone, Some((shard, tx))).await;
                }
                AfterCommit::GiveWay(wait) => return self.give_way(home, attempt, alone, wait).await,
                AfterCommit::Again => return End::Again(None),
                AfterCommit::Fail(refused) => return End::Failed(refused.into()),
                AfterCommit::InDoubt => return End::Failed(ended_by_another()),
            }
        }
    }

    async fn give_way(
        &self,
        home: ShardId,
        attempt: &Attempt,
        alone: bool,
        wait: Option<(ShardId, TxId)>,
    ) -> End {
        let wait = wait.map(locked);
        if alone { End::Again(wait) } else { self.ask(home, attempt, wait, None).await }
    }

    /// The coordinator was asked to commit, and has not said that it did: after this, it has or never will.
    async fn ask(
        &self,
        home: ShardId,
        attempt: &Attempt,
        wait: Option<Locked>,
        lost: Option<MetadataError>,
    ) -> End {
        // Of a command of one shard nothing is kept that could be asked for.
        if let Some(error) = lost {
            return End::Failed(MetadataError::InDoubt(error.to_string()));
        }
        match self.tell(home, Record::Resolve { tx: attempt.tx }).await {
            Ok(Answer::Committed(reply)) => End::Done(reply),
            Ok(Answer::Aborted) => End::Again(wait),
            Ok(_) => End::Failed(ended_by_another()),
            Err(error) => End::Failed(MetadataError::InDoubt(error.to_string())),
        }
    }

    /// Tells everybody what was decided, and lets the coordinator forget. Whether all have heard.
    async fn conclude(&self, attempt: &Attempt, begun: &Begun, commit: bool) -> bool {
        let (tx, participants) = (attempt.tx, attempt.participants());
        if !self.finish(tx, &participants, commit, begun.floor()).await {
            return false;
        }
        let forget = Record::Forget { tx, floor: begun.floor() };
        let decided = commit && !participants.is_empty();
        !decided || self.tell(attempt.home(), forget).await.is_ok()
    }

    /// Whether all participants have finished.
    pub(super) async fn finish(&self, tx: TxId, participants: &[ShardId], commit: bool, floor: u64) -> bool {
        let finish = |shard: &ShardId| self.tell(*shard, Record::Finish { tx, commit, floor });
        let answers = join_all(participants.iter().map(finish)).await;
        answers.iter().all(|answer| matches!(answer, Ok(Answer::Done)))
    }
}

/// What a look does about locks that it meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It waits, and tries again when they are gone.
    Waiting,
    /// It has itself queued by the shards, and has all locked that it reads.
    Queueing,
}

enum Looked {
    /// It would write this.
    Plan(Plan),
    /// It writes nothing.
    Reply(Bytes),
    /// What was seen was of no one moment, or is locked.
    Again(Option<Locked>),
}

fn locked((shard, tx): (ShardId, TxId)) -> Locked {
    Locked { shard, holder: tx.as_u128() }
}

/// Nothing was changed by looking: where a shard is only away for now, the caller may come again.
fn unseen(error: MapError) -> MetadataError {
    match error {
        MapError::Away(why) => {
            tracing::warn!(%why, "a shard cannot be read");
            MetadataError::Busy
        }
        error => error.into(),
    }
}

fn ended_by_another() -> MetadataError {
    MetadataError::InDoubt("another has ended the transaction, or its executor".to_owned())
}
