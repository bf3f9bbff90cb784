//! One try of a transaction, as its executor sees it: what to say next, decided from what was answered. Pure.

use super::plan::Plan;
use super::{Age, Answer, Holder, Record, TxId};
use crate::Refused;
use bytes::Bytes;
use std::collections::BTreeMap;
use types::ShardId;

/// A try.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) tx: TxId,
    age: Age,
    home: ShardId,
    command: Bytes,
    plan: Plan,
    round: u32,
    /// Shards that were asked, and whether they hold what the plan says now.
    asked: BTreeMap<ShardId, bool>,
}

/// What to do when all that were asked to prepare have answered, or will not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AfterPrepare {
    /// Everything is held.
    Commit,
    /// Something has changed: look again, with what is held.
    Look,
    /// A younger one is in the way: wait for it and ask again, keeping what is held.
    Hold(ShardId, TxId),
    /// Let go of everything, wait for what is in the way, and begin anew.
    GiveWay(Option<(ShardId, TxId)>),
    /// It cannot be done.
    Fail(Refused),
    /// Another life of this executor has begun.
    Stop,
}

/// What to do when the coordinator has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum AfterCommit {
    /// It took effect.
    Done(Bytes),
    /// As [`AfterPrepare::Hold`].
    Hold(ShardId, TxId),
    /// As [`AfterPrepare::GiveWay`]; the coordinator must hear first that this is not to be committed.
    GiveWay(Option<(ShardId, TxId)>),
    /// The coordinator has ended it without effect: begin anew.
    Again,
    /// As [`AfterPrepare::Fail`].
    Fail(Refused),
    /// Another life of this executor has begun; who knows what that makes of it.
    InDoubt,
}

impl Attempt {
    pub(crate) fn new((tx, age): (TxId, Age), home: ShardId, command: Bytes, plan: Plan) -> Attempt {
        let asked = plan.parts.keys().map(|shard| (*shard, false)).collect();
        Attempt { tx, age, home, command, plan, round: 0, asked }
    }

    pub(crate) fn home(&self) -> ShardId {
        self.home
    }

    #[cfg(test)]
    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    /// Everybody who may hold something of this.
    pub(crate) fn participants(&self) -> Vec<ShardId> {
        self.asked.keys().copied().collect()
    }

    /// What to ask of those that do not hold it yet.
    pub(crate) fn prepares(&self) -> Vec<(ShardId, Record)> {
        let missing = self.asked.iter().filter(|(_, holds)| !**holds);
        let key = (self.tx, self.age, self.round);
        missing
            .map(|(shard, _)| (*shard, Record::Prepare(self.plan.prepare(*shard, self.home, key))))
            .collect()
    }

    /// What those that were asked have answered; `None` for no answer.
    pub(crate) fn prepared(&mut self, answers: Vec<(ShardId, Option<Answer>)>) -> AfterPrepare {
        let (mut stale, mut younger) = (false, None);
        let mut give_way = None;
        for (shard, answer) in answers {
            match answer {
                Some(Answer::Prepared) => drop(self.asked.insert(shard, true)),
                Some(Answer::Stale) => stale = true,
                Some(Answer::Blocked(Some(holder))) if self.is_older(&holder) => {
                    younger = Some((shard, holder.tx));
                }
                Some(Answer::Blocked(Some(holder))) => give_way = Some(Some((shard, holder.tx))),
                Some(Answer::Refused(refused)) => return AfterPrepare::Fail(refused),
                Some(Answer::Fenced) => return AfterPrepare::Stop,
                _ => give_way = give_way.or(Some(None)),
            }
        }
        match (give_way, younger) {
            (Some(wait), _) => AfterPrepare::GiveWay(wait),
            (None, Some((shard, tx))) => AfterPrepare::Hold(shard, tx),
            (None, None) if stale => AfterPrepare::Look,
            (None, None) => AfterPrepare::Commit,
        }
    }

    /// The command was run again, with what is held: asks anew where that makes a difference.
    pub(crate) fn look(&mut self, plan: Plan) {
        self.round += 1;
        for (shard, holds) in &mut self.asked {
            *holds = *holds && self.plan.parts.get(shard) == plan.parts.get(shard);
        }
        for shard in plan.parts.keys() {
            self.asked.entry(*shard).or_insert(false);
        }
        self.plan = plan;
    }

    /// What to ask of the coordinator when all is held. Nothing but this is ever asked in this try.
    pub(crate) fn commit(&self) -> Record {
        let key = (self.tx, self.age);
        Record::Commit(self.plan.commit(key, self.participants(), self.command.clone()))
    }

    /// What the coordinator has answered.
    pub(crate) fn committed(&self, answer: Answer) -> AfterCommit {
        match answer {
            Answer::Committed(reply) => AfterCommit::Done(reply),
            Answer::Blocked(Some(holder)) if self.is_older(&holder) => {
                AfterCommit::Hold(self.home, holder.tx)
            }
            Answer::Blocked(holder) => AfterCommit::GiveWay(holder.map(|holder| (self.home, holder.tx))),
            Answer::Refused(refused) => AfterCommit::Fail(refused),
            // Nobody else sends a Commit, and all before were blocked: it was ended as one that never happens.
            Answer::Stale | Answer::Over => AfterCommit::Again,
            Answer::Fenced => AfterCommit::InDoubt,
            _ => AfterCommit::GiveWay(None),
        }
    }

    fn is_older(&self, holder: &Holder) -> bool {
        self.age < holder.age
    }
}
