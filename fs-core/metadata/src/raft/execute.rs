//! One command over a map; and the entries of a log over a copy of the map that is behind.

use super::RaftLog;
use super::mark::Progress;
use super::types::{Entry, LogId, StoredMembership};
use crate::command::Command;
use crate::host::{Host, Hosting};
use crate::maps::Copy;
use crate::{MetadataError, Refused};
use bytes::Bytes;
use map::{MapError, OrderedMap, Overlay, WriteSet};
use openraft::EntryPayload;
use std::sync::Arc;

/// Keys beyond which the changes gathered from several entries go to the map.
pub(super) const COMMIT_KEYS: usize = 4096;

/// Applies one command over what `changes` has above `map`; only a command that is applied adds to them.
///
/// # Errors
/// [`MapError`]: the map cannot be read, and `changes` and host are as they were.
pub(super) fn command(
    host: &mut Host,
    map: &dyn OrderedMap,
    changes: &mut WriteSet,
    command: &Command,
) -> Result<Result<Bytes, Refused>, MapError> {
    let mut own = WriteSet::default();
    let reply = {
        let below = Overlay::new(map, changes);
        host.apply(&mut Overlay::new(&below, &mut own), command)?
    };
    changes.merge(own);
    Ok(reply)
}

/// Notes that `entry` is applied.
pub(super) fn advance(progress: &mut Progress, entry: &Entry) {
    if let EntryPayload::Membership(membership) = &entry.payload {
        progress.membership = Arc::new(StoredMembership::new(Some(entry.log_id), membership.clone()));
    }
    progress.applied = Some(entry.log_id);
}

/// Brings `copy`, which is at `progress`, up to `last` from the log. Blocks on the disk.
///
/// # Errors
/// [`MetadataError`]: what the copy has is whole all the same.
pub(crate) fn catch_up(
    hosting: &Hosting,
    log: &RaftLog,
    copy: &Copy,
    mut progress: Progress,
    last: Option<LogId>,
) -> Result<(), MetadataError> {
    let mut host = hosting.over(&copy.map)?;
    let mut changes = WriteSet::default();
    let end = last.map_or(0, |id| id.index + 1);
    let mut next = progress.applied.map_or(0, |id| id.index + 1);
    while next < end {
        let entries = log.some(next, end)?;
        if entries.is_empty() {
            return Err(MetadataError::Damaged(format!("the log has no entry {next}")));
        }
        for entry in entries {
            next = entry.log_id.index + 1;
            if let EntryPayload::Normal(batch) = &entry.payload {
                for c in batch.0.iter() {
                    // The replies were given when the entry was new.
                    let _ = command(&mut host, &copy.map, &mut changes, c)?;
                }
            }
            advance(&mut progress, &entry);
            if changes.len() >= COMMIT_KEYS || next == end {
                copy.commit(&std::mem::take(&mut changes), &progress)?;
            }
        }
    }
    Ok(())
}
