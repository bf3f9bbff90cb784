//! What Raft takes for a snapshot: all copies of the map made durable, so that the log can be purged.

use super::machine::{Persisted, Since};
use super::mark::Progress;
use super::types::{Snapshot, TypeConfig};
use crate::gate::Gate;
use crate::maps::Maps;
use openraft::storage::RaftSnapshotBuilder;
use std::io;
use std::sync::Arc;

/// Makes the maps durable; the log is purged behind them, never before.
pub(crate) struct Persist {
    pub(super) maps: Arc<Maps>,
    pub(super) gate: Arc<Gate>,
    /// What the primary had, and the followers had been handed, when this began.
    pub(super) progress: Progress,
    pub(super) commands: u64,
    pub(super) bytes: u64,
    pub(super) since: Arc<Since>,
    pub(super) persisted: Persisted,
}

impl RaftSnapshotBuilder<TypeConfig> for Persist {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta = match self.maps.persist().await {
            Ok(true) => {
                self.since.settle(self.commands, self.bytes);
                self.persisted.set(self.progress.meta());
                self.progress.meta()
            }
            // Raft has this one already, so nothing more is purged.
            Ok(false) => self.persisted.get().unwrap_or_default(),
            Err(e) => {
                self.gate.stop(&e);
                return Err(io::Error::other(e));
            }
        };
        Ok(Snapshot { meta, snapshot: () })
    }
}
