//! Whether a shard may answer: opened once when it is recovered, shut once and for all when
//! anything under it has failed.

use crate::MetadataError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use types::ShardId;

pub(crate) struct Gate {
    shard: ShardId,
    open: AtomicBool,
    stopped: OnceLock<MetadataError>,
}

impl Gate {
    pub(crate) fn new(shard: ShardId) -> Gate {
        Gate { shard, open: AtomicBool::new(false), stopped: OnceLock::new() }
    }

    /// From here on the map has every acknowledged command.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Stops the shard; the first reason stands.
    pub(crate) fn stop(&self, reason: &MetadataError) {
        let first = match reason {
            MetadataError::Closed => MetadataError::Closed,
            MetadataError::Stopped(_) => reason.clone(),
            other => MetadataError::Stopped(other.to_string()),
        };
        let closed = matches!(first, MetadataError::Closed);
        if self.stopped.set(first).is_ok() && !closed {
            tracing::error!(shard = self.shard.0, %reason, "the shard has stopped");
        }
    }

    /// Whether an answer from the map would be right. A lone voter is its own quorum, so its
    /// lease never ends; a voter among others must look at its lease here.
    pub(crate) fn check(&self) -> Result<(), MetadataError> {
        match self.stopped.get() {
            Some(reason) => Err(reason.clone()),
            None if self.open.load(Ordering::Acquire) => Ok(()),
            None => Err(MetadataError::Stopped("it is not recovered yet".to_owned())),
        }
    }

    /// Why the shard stopped, once it has.
    pub(crate) fn stopped(&self) -> Option<MetadataError> {
        self.stopped.get().cloned()
    }

    /// Why the shard stopped, for whoever was cut off.
    pub(crate) fn reason(&self) -> MetadataError {
        self.stopped.get().cloned().unwrap_or(MetadataError::Closed)
    }
}
