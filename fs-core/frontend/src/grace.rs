//! The end of the time of grace, and of the inodes without a name that nobody has claimed in it.

use crate::clients::Clients;
use crate::look::read;
use crate::{Frontend, Inner, Shards, Stripes};
use namespace::queries::{inode, pending};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::{FileId, FsError};

/// Pause before the end is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Who has claimed something so long ago may have more to claim.
const CLAIMING: Duration = Duration::from_secs(2);
/// Inodes dropped at the same time.
const AT_ONCE: usize = 32;

/// Sees to it that the time of grace ends after `limit`, or when nobody is claiming anything any more, at twice the
/// limit at the latest; and clears up.
pub(crate) async fn run<S: Shards, D: Stripes>(
    weak: Weak<Inner<S, D>>,
    clients: Arc<Clients>,
    limit: Duration,
) {
    if !ends_by_itself(&clients, limit).await {
        while let Some(inner) = weak.upgrade() {
            let Err(error) = Frontend(inner).end_grace().await else { break };
            tracing::error!(%error, "the time of grace cannot end yet");
            tokio::time::sleep(PAUSE).await;
        }
    }
    let Some(inner) = weak.upgrade() else { return };
    let this = Frontend(inner);
    if let Err(error) = this.drop_unclaimed().await {
        tracing::warn!(%error, "inodes without a name are left; they are looked for again");
        this.0.missed.store(true, Ordering::Relaxed);
    }
}

/// Waits for the last claim, but not for ever. Says whether it has come.
async fn ends_by_itself(clients: &Clients, limit: Duration) -> bool {
    let begin = Instant::now();
    let mut end = begin + limit;
    while tokio::time::timeout_at(end, clients.grace_is_over()).await.is_err() {
        let claiming = clients.claimed().map(|at| (at + CLAIMING).min(begin + 2 * limit));
        match claiming {
            Some(later) if later > Instant::now() => end = later,
            _ => return false,
        }
    }
    true
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Inodes without a name that nobody has open go, once nobody can claim them any more.
    pub(crate) async fn drop_unclaimed(&self) -> Result<(), FsError> {
        if self.0.clients.keep_orphans() {
            return Ok(());
        }
        let mut orphans: Vec<FileId> = Vec::new();
        // The command that took the last name may still be on its way to the inode's shard.
        self.0.shards.settled().await;
        {
            let view = self.past_view();
            for fs in read(&view, inode::filesystems).await? {
                orphans.extend(read(&view, |map| pending::orphans(map, fs.id)).await?);
            }
        }
        let mut dropping = JoinSet::new();
        for file in orphans {
            if dropping.len() >= AT_ONCE {
                dropping.join_next().await;
            }
            let this = self.clone();
            dropping.spawn(async move {
                let node = this.0.nodes.get(file);
                let _still = node.gate.write().await;
                // With the gate held, nobody is between having taken the last name and knowing of it.
                node.state.lock().orphan = true;
                this.drop_orphan_held(&node).await;
            });
        }
        while dropping.join_next().await.is_some() {}
        Ok(())
    }
}
