//! The log of a voter on its homes: one drive, or 2P + 1 of which P + 1 make an entry durable.
//!
//! What was acknowledged is on P + 1 homes. Recovery reads P + 1 homes that count, so at least
//! one of them has it, takes the longest log by (term, index), and brings all others to the same
//! before Raft runs. Because every run begins with a vote in a new term on P + 1 homes, the tail
//! of a home that was away can never be longer by that measure than what was acknowledged since.

mod plan;
mod quorum;
mod recover;

pub(crate) use recover::recover;

use crate::Home;
use crate::roll::{HomeStanding, Roll};
use bytes::Bytes;
use drive::log::{Done, LogError, LogRecord, LogWrite, Mark, ShardLog};
use quorum::Quorum;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The reachable homes of one voter, all with the same log.
pub(crate) struct Homes {
    logs: Vec<ShardLog>,
    ledger: Arc<Mutex<Ledger>>,
}

struct Ledger {
    quorum: Quorum,
    waiting: BTreeMap<u64, Done>,
    incarnations: Vec<u128>,
    roll: Arc<Roll>,
    /// Why a home fell out, the last time one did.
    reason: Option<LogError>,
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    // Nothing that is done under the lock panics half way.
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Homes {
    fn new(homes: &[&Home], needed: usize, roll: Arc<Roll>) -> Homes {
        let logs: Vec<ShardLog> = homes.iter().map(|home| home.log.clone()).collect();
        let incarnations: Vec<u128> = homes.iter().map(|home| home.incarnation).collect();
        let standing = |&incarnation| HomeStanding { incarnation, takes_part: true };
        roll.set_homes(incarnations.iter().map(standing).collect());
        let quorum = Quorum::new(logs.len(), needed);
        let ledger = Ledger { quorum, waiting: BTreeMap::new(), incarnations, roll, reason: None };
        Homes { logs, ledger: Arc::new(Mutex::new(ledger)) }
    }

    /// Writes to all homes that take part; `done` hears when enough have it, or never will.
    /// Writes become durable in their order.
    pub(crate) fn write(&self, write: LogWrite, done: Done) {
        let (sequence, targets) = {
            let mut ledger = locked(&self.ledger);
            let (sequence, targets) = ledger.quorum.begin();
            ledger.waiting.insert(sequence, done);
            (sequence, targets)
        };
        if targets.is_empty() {
            settle(&self.ledger, None);
        }
        for home in targets {
            let ledger = self.ledger.clone();
            let heard: Done = Box::new(move |result| settle(&ledger, Some((home, sequence, result))));
            if let Err((_, heard)) = self.logs[home].try_write(write.clone(), heard) {
                heard(Err(LogError::Poisoned("the home's queue is full or closed".to_owned())));
            }
        }
    }

    /// [`Homes::write`], waiting for it.
    pub(crate) async fn write_durably(&self, write: LogWrite) -> Result<(), LogError> {
        let (sender, receiver) = oneshot::channel();
        self.write(write, Box::new(move |result| drop(sender.send(result))));
        receiver.await.unwrap_or(Err(LogError::Closed))
    }

    /// Entries `from..to`, from the first home that has them whole. Blocks on a disk.
    pub(crate) fn read(&self, from: u64, to: u64, bytes: usize) -> Result<Vec<LogRecord>, LogError> {
        let homes = locked(&self.ledger).quorum.current();
        let mut error = LogError::Closed;
        for home in homes {
            match self.logs[home].read(from, to, bytes) {
                Ok(records) => return Ok(records),
                Err(e) => {
                    tracing::warn!(home, error = %e, "a home's log cannot be read");
                    error = e;
                }
            }
        }
        Err(error)
    }

    /// A mark, from the first home.
    pub(crate) fn mark(&self, mark: Mark) -> Result<Option<Bytes>, LogError> {
        self.logs.first().map_or(Ok(None), |log| log.mark(mark))
    }

    /// First and last index that the homes hold.
    pub(crate) fn bounds(&self) -> Option<drive::log::LogBounds> {
        self.logs.first().and_then(ShardLog::bounds)
    }

    /// Waits until one of the drives cannot free files because of old entries of this voter.
    pub(crate) async fn pressed(&self) {
        let waits: Vec<_> = self.logs.iter().map(|log| Box::pin(log.pressed())).collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        } else {
            futures_util::future::select_all(waits).await;
        }
    }
}

/// Takes a home's word into the ledger, and calls those whose write is decided, outside the lock.
fn settle(ledger: &Mutex<Ledger>, word: Option<(usize, u64, Result<(), LogError>)>) {
    let (decided, result) = {
        let mut ledger = locked(ledger);
        match word {
            Some((home, sequence, Ok(()))) => ledger.quorum.acknowledged(home, sequence),
            Some((home, _, Err(e))) => {
                if ledger.quorum.failed(home) {
                    ledger.roll.home_out(ledger.incarnations[home], &e);
                }
                ledger.reason = Some(e);
            }
            None => {}
        }
        if ledger.quorum.is_lost() {
            let error = ledger.reason.clone().unwrap_or(LogError::Closed);
            // What is durable was decided before; the others hear the end.
            (std::mem::take(&mut ledger.waiting), Err(error))
        } else {
            let first_open = ledger.quorum.durable() + 1;
            let later = ledger.waiting.split_off(&first_open);
            (std::mem::replace(&mut ledger.waiting, later), Ok(()))
        }
    };
    for done in decided.into_values() {
        done(result.clone());
    }
}
