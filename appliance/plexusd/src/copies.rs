//! Watches the copies of the shards' logs and maps: what falls out moves to another drive at once, when there is one.

use crate::drives::Drives;
use crate::shards::standing_change;
use std::sync::Arc;
use std::time::Duration;

/// How often drives are looked at that fail without the shards' noticing.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until it is stopped, at any moment.
pub(crate) async fn run(drives: Arc<Drives>) {
    loop {
        // Before the look, so that nothing that happens during it is missed.
        let changed = standing_change(drives.shards());
        if let Err(error) = drives.reseat().await {
            tracing::error!(%error, "copies of the log or map of names could not be moved");
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
