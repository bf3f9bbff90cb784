//! Ends transactions whose executor is gone: everybody hears the same, from what the coordinator knows.

use super::Inner;
use crate::{Answer, Member, MetadataError, Record, TxId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use types::ShardId;

/// How long another executor may be silent.
const SILENCE: Duration = Duration::from_secs(3);
/// Pause while there is something to end; grows up to the second.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A transaction that has not ended, and where that was seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Left {
    Decided(ShardId, TxId),
    /// With its coordinator.
    Prepared(ShardId, TxId, ShardId),
}

impl Left {
    fn tx(&self) -> TxId {
        match self {
            Left::Decided(_, tx) | Left::Prepared(_, tx, _) => *tx,
        }
    }
}

/// Decisions come first: with them most of what is prepared ends.
async fn left<M: Member>(set: &Inner<M>) -> Result<Vec<Left>, MetadataError> {
    let mut left = Vec::new();
    for (shard, member) in &set.members {
        let under_way = member.under_way().await?;
        left.extend(under_way.decided.iter().map(|(tx, _)| Left::Decided(*shard, *tx)));
        let prepared = under_way.prepared.into_iter();
        left.extend(prepared.map(|(tx, coordinator)| Left::Prepared(*shard, tx, coordinator)));
    }
    left.retain(|left| !set.active.is_under_way(left.tx()));
    left.sort_unstable();
    if !set.asks {
        // The bug is to decide about what is prepared first.
        left.reverse();
    }
    Ok(left)
}

/// Ends all that this executor has left in a former life.
pub(super) async fn all<M: Member>(set: &Inner<M>) -> Result<(), MetadataError> {
    for one in left(set).await? {
        if set.active.is_of_this(one.tx()) {
            end(set, one).await?;
        }
    }
    Ok(())
}

async fn end<M: Member>(set: &Inner<M>, left: Left) -> Result<(), MetadataError> {
    match left {
        Left::Decided(coordinator, tx) => {
            let under_way = set.member(coordinator)?.under_way().await?;
            let decided = under_way.decided.into_iter().find(|(known, _)| *known == tx);
            let Some((_, participants)) = decided else { return Ok(()) };
            if set.finish(tx, &participants, true, 0).await {
                tracing::info!(%tx, "a transaction of a former life was finished");
                set.member(coordinator)?.tell(Record::Forget { tx, floor: 0 }).await?;
            }
        }
        Left::Prepared(shard, tx, coordinator) => {
            let commit = set.asks && resolve(set, tx, coordinator).await?;
            if set.finish(tx, &[shard], commit, 0).await {
                tracing::info!(%tx, commit, "a transaction of a silent executor was ended");
            }
        }
    }
    Ok(())
}

/// Whether the transaction took effect; if not by now, it never will.
async fn resolve<M: Member>(set: &Inner<M>, tx: TxId, coordinator: ShardId) -> Result<bool, MetadataError> {
    match set.member(coordinator)?.tell(Record::Resolve { tx }).await? {
        Answer::Committed(_) => Ok(true),
        Answer::Aborted | Answer::Over | Answer::Fenced => Ok(false),
        answer => Err(MetadataError::Damaged(format!("transaction {tx} is not resolved: {answer:?}"))),
    }
}

/// Looks for what is left whenever somebody has a reason to, and until nothing is.
pub(super) async fn run<M: Member>(set: Arc<Inner<M>>) {
    loop {
        set.recovery.notified().await;
        until_nothing_is_left(&set).await;
    }
}

async fn until_nothing_is_left<M: Member>(set: &Inner<M>) {
    let mut seen: BTreeMap<Left, Instant> = BTreeMap::new();
    let mut pause = PAUSE;
    loop {
        let now = Instant::now();
        match left(set).await {
            Ok(left) => {
                seen.retain(|one, _| left.contains(one));
                for one in left {
                    seen.entry(one).or_insert(now);
                }
            }
            Err(error) => tracing::warn!(%error, "a shard cannot be looked at"),
        }
        for (one, since) in &seen {
            let silent = set.active.is_of_this(one.tx()) || now - *since >= SILENCE;
            if silent && let Err(error) = end(set, *one).await {
                tracing::warn!(tx = %one.tx(), %error, "a transaction is left");
            }
        }
        if seen.is_empty() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
