//! Where a shard shows which transactions have not ended, for readers on any thread.
//!
//! It is written when the map has been, and before anybody is answered. So who begins to read after a
//! transaction was acknowledged, and looks here first and then at the map, finds the lock or the new value.

use crate::Pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

pub(crate) struct Board {
    /// Whether anything is prepared: most of the time nothing is, and nobody needs to look.
    any: AtomicBool,
    pending: watch::Sender<Arc<Pending>>,
}

impl Default for Board {
    fn default() -> Board {
        Board { any: AtomicBool::new(false), pending: watch::Sender::new(Arc::default()) }
    }
}

impl Board {
    pub(crate) fn show(&self, pending: &Arc<Pending>) {
        let shown = self.pending.send_if_modified(|shown| {
            let changed = !Arc::ptr_eq(shown, pending);
            shown.clone_from(pending);
            changed
        });
        if shown {
            self.any.store(!pending.prepared.is_empty(), Ordering::Release);
        }
    }

    /// What is prepared, if anything is.
    pub(crate) fn some(&self) -> Option<Arc<Pending>> {
        if self.any.load(Ordering::Acquire) { Some(self.now()) } else { None }
    }

    pub(crate) fn now(&self) -> Arc<Pending> {
        self.pending.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Pending>> {
        self.pending.subscribe()
    }
}
