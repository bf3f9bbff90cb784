//! The thread of a drive's log: takes what is queued, writes it at once, syncs once, says so.

use super::engine::Store;
use super::shard::LogWrite;
use super::{Done, LogError, LogOptions};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};
use types::ShardId;

/// Requests that wait, of all shards of the drive together; each holds at most one entry's bytes.
pub(super) const QUEUE: usize = 1024;

/// Bytes beyond which a group takes no further request.
const GROUP_BYTES: usize = 8 << 20;

pub(super) enum Request {
    Write { shard: ShardId, write: LogWrite, done: Done },
    Close { done: oneshot::Sender<()> },
}

/// Who is told that its old entries are in the way.
pub(super) type Pressures = Arc<Mutex<HashMap<ShardId, Arc<Notify>>>>;

pub(super) async fn run(
    store: Arc<dyn Store>,
    mut queue: mpsc::Receiver<Request>,
    options: LogOptions,
    pressures: Pressures,
) {
    let mut poisoned: Option<LogError> = None;
    let mut since_purge = 0;
    while let Some(first) = queue.recv().await {
        let mut writes = Vec::new();
        let mut dones = Vec::new();
        let mut closing = None;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Write { shard, write, done } => {
                    bytes += write.bytes();
                    writes.push((shard, write));
                    dones.push(done);
                }
                Request::Close { done } => closing = Some(done),
            }
            if closing.is_none() && bytes < GROUP_BYTES {
                next = queue.try_recv().ok();
            }
        }
        match &poisoned {
            Some(error) => tell_all(dones, error),
            None => match store.write(&writes).await {
                Ok(results) => {
                    for (done, result) in dones.into_iter().zip(results) {
                        done(result);
                    }
                    since_purge += bytes as u64;
                    if since_purge >= options.file_bytes / 2 {
                        since_purge = 0;
                        poisoned = purge(&*store, &pressures);
                    }
                }
                Err(reason) => {
                    tracing::error!(reason, "the log is poisoned");
                    let error = LogError::Poisoned(reason);
                    tell_all(dones, &error);
                    poisoned = Some(error);
                }
            },
        }
        if let Some(done) = closing {
            queue.close();
            while let Some(request) = queue.recv().await {
                if let Request::Write { done, .. } = request {
                    done(Err(LogError::Closed));
                }
            }
            drop(store);
            let _ = done.send(());
            return;
        }
    }
}

fn tell_all(dones: Vec<Done>, error: &LogError) {
    for done in dones {
        done(Err(error.clone()));
    }
}

/// Frees files, and tells the shards whose entries keep old ones; an error poisons the log.
fn purge(store: &dyn Store, pressures: &Pressures) -> Option<LogError> {
    match store.purge() {
        Ok(shards) => {
            let pressures = pressures.lock().unwrap_or_else(PoisonError::into_inner);
            for pressure in shards.iter().filter_map(|shard| pressures.get(shard)) {
                pressure.notify_one();
            }
            None
        }
        Err(reason) => {
            tracing::error!(reason, "the log is poisoned: purge");
            Some(LogError::Poisoned(reason))
        }
    }
}
