//! Where a shard shows which transactions have not ended, for readers on any thread.
//!
//! It is written when the map has been, and before anybody is answered. So who begins to read after a
//! transaction was acknowledged, and looks here first and then at the map, finds the lock or the new value.

use crate::{Pending, TxId, UnderWay};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The transactions of a shard that have not ended, as they are now.
#[derive(Default)]
pub struct Board {
    /// Whether anything is prepared: most of the time nothing is, and nobody needs to look.
    any: AtomicBool,
    pending: RwLock<Arc<Pending>>,
    changed: Notify,
}

impl Board {
    pub(crate) fn show(&self, pending: &Arc<Pending>) {
        {
            let mut shown = self.pending.write();
            if Arc::ptr_eq(&shown, pending) {
                return;
            }
            shown.clone_from(pending);
        }
        self.any.store(!pending.prepared.is_empty(), Ordering::Release);
        self.changed.notify_waiters();
    }

    /// What is prepared, if anything is.
    pub(crate) fn some(&self) -> Option<Arc<Pending>> {
        if self.any.load(Ordering::Acquire) { Some(self.now()) } else { None }
    }

    /// All of it.
    #[must_use]
    pub fn now(&self) -> Arc<Pending> {
        self.pending.read().clone()
    }

    /// What others need to know of it.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        UnderWay::from(&*self.now())
    }

    /// Waits until a transaction is not prepared any more.
    pub async fn until_ended(&self, tx: TxId) {
        self.until(|pending| !pending.prepared.contains_key(&tx)).await;
    }

    /// Waits until it is as told.
    pub async fn until(&self, told: impl Fn(&Pending) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if told(&self.now()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decided;

    #[tokio::test]
    async fn who_waits_sees_every_change() {
        let board = Arc::new(Board::default());
        let decided = |numbers: &[u64]| {
            let decided = |number: &u64| {
                let tx = TxId { executor: 1, epoch: 1, number: *number };
                (tx, Arc::new(Decided { participants: Vec::new(), reply: bytes::Bytes::new() }))
            };
            Arc::new(Pending { decided: numbers.iter().map(decided).collect(), ..Pending::default() })
        };
        let of_task = board.clone();
        let waiting = tokio::spawn(async move { of_task.until(|pending| pending.decided.len() == 2).await });
        for numbers in [&[1][..], &[1, 2, 3], &[1, 3]] {
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
            board.show(&decided(numbers));
        }
        waiting.await.unwrap();
        assert!(board.some().is_none(), "nothing is prepared");
    }
}
