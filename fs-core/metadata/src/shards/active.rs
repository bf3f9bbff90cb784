//! The transactions that this executor has under way: their numbers, and the floor below which all have ended.

use crate::TxId;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// How far the newest number may be ahead of the oldest that has not ended: shards remember so many one by one.
const WINDOW: u64 = 2048;

pub(super) struct Active {
    executor: u32,
    epoch: u32,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    operations: u64,
    next: u64,
    under_way: BTreeSet<u64>,
}

impl State {
    fn floor(&self) -> u64 {
        self.under_way.first().copied().unwrap_or(self.next)
    }
}

/// A transaction that is under way until this is dropped.
pub(super) struct Begun {
    pub(super) tx: TxId,
    active: Arc<Active>,
}

impl Begun {
    /// Below this, all of this executor's have ended.
    pub(super) fn floor(&self) -> u64 {
        self.active.state.lock().floor()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.active.state.lock().under_way.remove(&self.tx.number);
        self.active.ended.notify_waiters();
    }
}

impl Active {
    pub(super) fn new(executor: u32, epoch: u32) -> Active {
        Active { executor, epoch, state: Mutex::default(), ended: Notify::new() }
    }

    /// Executor and number of a new operation.
    pub(super) fn operation(&self) -> (u32, u64) {
        let mut state = self.state.lock();
        state.operations += 1;
        (self.executor, state.operations)
    }

    /// A new transaction; waits while too many are under way.
    pub(super) async fn begin(self: &Arc<Self>) -> Begun {
        loop {
            let ended = self.ended.notified();
            {
                let mut state = self.state.lock();
                if state.next < state.floor() + WINDOW {
                    let number = state.next;
                    state.next += 1;
                    state.under_way.insert(number);
                    let tx = TxId { executor: self.executor, epoch: self.epoch, number };
                    return Begun { tx, active: self.clone() };
                }
            }
            ended.await;
        }
    }

    /// Whether it is one of this executor's life, and under way.
    pub(super) fn is_under_way(&self, tx: TxId) -> bool {
        self.is_ours(tx) && self.state.lock().under_way.contains(&tx.number)
    }

    /// Whether it is one of this executor's, in this life or before.
    pub(super) fn is_of_this(&self, tx: TxId) -> bool {
        tx.executor == self.executor
    }

    fn is_ours(&self, tx: TxId) -> bool {
        (tx.executor, tx.epoch) == (self.executor, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_floor_is_the_oldest_under_way_and_numbers_stay_near_it() {
        let active = Arc::new(Active::new(1, 2));
        let (first, second) = (active.begin().await, active.begin().await);
        assert_eq!((first.tx.number, second.tx.number, second.floor()), (0, 1, 0));
        let mut others = Vec::new();
        for _ in 2..WINDOW {
            others.push(active.begin().await);
        }
        let (waiting, of_waiting) = (active.clone(), first.tx);
        let waiting = tokio::spawn(async move { waiting.begin().await.tx.number });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && active.is_under_way(of_waiting));
        drop(second);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.unwrap(), WINDOW);
        assert!(!active.is_under_way(of_waiting));
        assert_eq!(others[0].floor(), 2);
    }
}
