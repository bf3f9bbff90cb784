//! Remembering clients over restarts, and forgetting what was remembered for them.

use crate::command::Channels;
use crate::inodes::{Step, Work};
use crate::keys;
use crate::outcome::Reply;
use crate::records::{Client, Ended, Kept};
use locking::Holds;
use types::limits::{CLIENT_RECORD_BYTES_MAX, COMMAND_KEYS_MAX};
use types::{FsError, InodeId};

/// See [`crate::Action::KeepClient`].
pub(crate) fn keep(
    work: &mut Work<'_>,
    client: u128,
    holds: Option<Holds>,
    kept: Option<Kept>,
) -> Step<Reply> {
    if kept.as_ref().is_some_and(|kept| kept.data.len() > CLIENT_RECORD_BYTES_MAX) {
        return Err(FsError::Invalid.into());
    }
    let key = keys::client(client);
    let mut record: Client = work.read().record(&key)?.unwrap_or_default();
    record.holds = holds.unwrap_or(record.holds);
    record.kept = kept.or(record.kept);
    put(work, &key, &record);
    Ok(Reply::Done)
}

/// See [`crate::Action::DisownClients`].
pub(crate) fn disown(work: &mut Work<'_>, clients: &[u128]) -> Step<Reply> {
    if clients.len() > COMMAND_KEYS_MAX {
        return Err(FsError::Invalid.into());
    }
    for client in clients {
        let key = keys::client(*client);
        if let Some(record) = work.read().record::<Client>(&key)? {
            put(work, &key, &Client { holds: Holds::NOTHING, ..record });
        }
    }
    Ok(Reply::Done)
}

/// Of whom there is nothing to know there is no record.
fn put(work: &mut Work<'_>, key: &[u8], record: &Client) {
    if *record == Client::default() {
        work.map.delete(key);
    } else {
        work.put(key, record);
    }
}

/// See [`crate::Action::EndClients`].
pub(crate) fn end(work: &mut Work<'_>, clients: &[u128]) -> Step<Reply> {
    if clients.len() > COMMAND_KEYS_MAX {
        return Err(FsError::Invalid.into());
    }
    for client in clients {
        work.map.delete(&keys::client(*client));
        work.put(&keys::ended(*client), &Ended {});
    }
    Ok(Reply::Done)
}

/// See [`crate::Action::DropClients`].
pub(crate) fn drop_ended(work: &mut Work<'_>, clients: &[u128]) -> Step<Reply> {
    if clients.len() > COMMAND_KEYS_MAX {
        return Err(FsError::Invalid.into());
    }
    for client in clients {
        work.map.delete(&keys::ended(*client));
    }
    Ok(Reply::Done)
}

/// See [`crate::Action::ForgetReplays`].
pub(crate) fn forget_replays(work: &mut Work<'_>, channels: &[Channels], near: InodeId) -> Step<Reply> {
    if channels.len() > COMMAND_KEYS_MAX {
        return Err(FsError::Invalid.into());
    }
    let mut found = Vec::new();
    for Channels { client, first, last } in channels {
        if found.len() == COMMAND_KEYS_MAX {
            break;
        }
        let (from, to) = keys::replays(work.fs, near.slot(), *client, (*first, *last));
        work.map.scan(&from, &to, &mut |key, _| {
            found.push(key.to_vec());
            found.len() < COMMAND_KEYS_MAX
        })?;
    }
    for key in &found {
        work.map.delete(key);
    }
    Ok(Reply::Drained { more: found.len() == COMMAND_KEYS_MAX })
}
