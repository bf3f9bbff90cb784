//! The state machine of a shard: decodes, recognises retries, dispatches, encodes.

use crate::accounts::Accounts;
use crate::command::{APPENDS_PER_COMMAND, Action, Append, Appended, Command};
use crate::commands::{
    client, clone_range, commit, create, drain, filesystem, link, put, relocate, removal, remove, rename,
    retention, setattr, space, stage, stripes, system, xattr,
};
use crate::inodes::{Step, Stop, Work};
use crate::keys;
use crate::outcome::{Failure, Outcome, Reply};
use crate::queries::Answer;
use crate::records::{Record, Replay};
use bytes::Bytes;
use map::{Machine, MapError, OrderedMap, OrderedMapMut, Overlay, WriteSet};
use std::cmp::Ordering;
use types::limits::COMMAND_BYTES_MAX;
use types::{FileId, FsError, InodeId, RequestId, Slot};

/// Version of encoded commands.
const VERSION: u8 = 3;
/// Version of encoded outcomes.
const OUTCOME_VERSION: u8 = 1;

/// The file system as a deterministic machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Namespace;

impl Command {
    /// As it stands in the log.
    ///
    /// # Errors
    /// [`FsError::Invalid`] when it is over 256 KiB.
    pub fn encode(&self) -> Result<Bytes, FsError> {
        let mut encoded = postcard::to_extend(self, vec![VERSION]);
        if !self.appends.is_empty() {
            encoded = encoded.and_then(|bytes| postcard::to_extend(&self.appends, bytes));
        }
        match encoded {
            Ok(bytes) if bytes.len() <= COMMAND_BYTES_MAX => Ok(bytes.into()),
            _ => Err(FsError::Invalid),
        }
    }

    /// What [`Command::encode`] gave; `None` for anything else, and for another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Command> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return None };
        let (mut command, rest): (Command, _) = postcard::take_from_bytes(rest).ok()?;
        if !rest.is_empty() {
            command.appends = postcard::from_bytes(rest).ok()?;
        }
        Some(command)
    }

    /// The slot whose shard runs the command, and where its replay is kept.
    #[must_use]
    pub fn home(&self) -> Slot {
        match &self.action {
            Action::Create(create) => create.dir.slot(),
            Action::Link { dir, .. } | Action::Remove { dir, .. } => dir.slot(),
            Action::Rename { from_dir, .. } => from_dir.slot(),
            Action::Put(put) => put.dir.slot(),
            Action::CloneRange { to, .. } => to.slot(),
            Action::SetAttr { ino, .. }
            | Action::SetXattr { ino, .. }
            | Action::SetSystem { ino, .. }
            | Action::Retain { ino, .. }
            | Action::Guard { ino, .. }
            | Action::Stage { near: ino, .. }
            | Action::Commit { ino, .. }
            | Action::Space { ino, .. }
            | Action::GrantStripes { near: ino, .. }
            | Action::ForgetReplays { near: ino, .. }
            | Action::NoteScrub { near: ino, .. }
            | Action::DropOrphan { ino }
            | Action::Drain { ino } => ino.slot(),
            Action::Relocate { stripe, .. } => InodeId(stripe.0).slot(),
            Action::ForgetStripes { stripes } | Action::Bury { stripes } | Action::Unbury { stripes } => {
                stripes.first().map_or(InodeId::ROOT.slot(), |first| InodeId(first.0).slot())
            }
            Action::EmptySlot { slot, .. } => *slot,
            Action::MakeFilesystem { .. }
            | Action::RemoveFilesystem { .. }
            | Action::ForgetFilesystem { .. }
            | Action::MakeSystem
            | Action::KeepClient { .. }
            | Action::DisownClients { .. }
            | Action::EndClients { .. }
            | Action::DropClients { .. } => InodeId::ROOT.slot(),
        }
    }

    /// Whether the command is likely to change slots of several shards, where every slot is a shard's own.
    #[must_use]
    pub fn crosses(&self) -> bool {
        match &self.action {
            // A directory near the root gets a slot of its own.
            Action::Create(create) => matches!(create.node, crate::NodeSpec::Directory),
            Action::Link { ino, dir, .. } => ino.slot() != dir.slot(),
            Action::Remove { dir, seen, .. } => seen.0 != 0 && seen.slot() != dir.slot(),
            Action::Rename { from_dir, to_dir, seen, .. } => {
                let seen = seen.map_or(to_dir.slot(), InodeId::slot);
                from_dir.slot() != to_dir.slot() || seen != to_dir.slot()
            }
            Action::Put(put) => {
                let source = match put.source {
                    crate::PutSource::Staged(ino) => Some(ino),
                    crate::PutSource::Content { .. } | crate::PutSource::Laid { .. } => None,
                };
                let aside = put.aside.as_ref().map(|(dir, _)| *dir);
                [source, put.seen, aside].into_iter().flatten().any(|ino| ino.slot() != put.dir.slot())
            }
            Action::CloneRange { from, to, .. } => from.slot() != to.slot(),
            _ => false,
        }
    }
}

/// What came of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// Its outcome.
    pub outcome: Outcome,
    /// The slots whose accounts it changed; none where the answer is that of an earlier try.
    pub accounts: Vec<Slot>,
}

/// Reads what the machine answered.
///
/// # Errors
/// [`MapError`] when it is no answer: the machine that made it is of another version.
pub fn applied(encoded: &[u8]) -> Result<Applied, MapError> {
    let wrong = |error: postcard::Error| MapError::Broken(format!("outcome: {error}"));
    let Some((&OUTCOME_VERSION, rest)) = encoded.split_first() else {
        return Err(MapError::Broken("outcome of an unknown version".into()));
    };
    let (outcome, rest) = postcard::take_from_bytes(rest).map_err(wrong)?;
    let accounts = if rest.is_empty() { Vec::new() } else { postcard::from_bytes(rest).map_err(wrong)? };
    Ok(Applied { outcome, accounts })
}

/// The outcome in what the machine answered.
///
/// # Errors
/// As [`applied`].
pub fn reply_of(encoded: &[u8]) -> Result<Outcome, MapError> {
    applied(encoded).map(|applied| applied.outcome)
}

fn encode_outcome(outcome: &Outcome) -> Bytes {
    #[expect(
        clippy::expect_used,
        reason = "postcard fails only on types without a length; outcomes have none"
    )]
    postcard::to_extend(outcome, vec![OUTCOME_VERSION]).map(Bytes::from).expect("an outcome encodes")
}

/// An encoded outcome with the slots whose accounts have changed behind it.
fn with_accounts(outcome: &Bytes, accounts: &[Slot]) -> Bytes {
    if accounts.is_empty() {
        return outcome.clone();
    }
    #[expect(clippy::expect_used, reason = "a list of numbers encodes")]
    postcard::to_extend(accounts, outcome.to_vec()).map(Bytes::from).expect("a list encodes")
}

impl Machine for Namespace {
    fn apply(&self, map: &mut dyn OrderedMapMut, command: &Bytes) -> Result<Bytes, MapError> {
        let Some(command) = Command::decode(command) else {
            return Ok(encode_outcome(&Err(FsError::Invalid.into())));
        };
        let replay =
            command.request.map(|request| (keys::replay(command.fs, command.home(), &request), request));
        if let Some((key, request)) = &replay
            && let Some(answer) = remembered(map, key, request)?
        {
            return Ok(answer);
        }
        let mut changes = WriteSet::default();
        let below: &dyn OrderedMap = map;
        let mut overlay = Overlay::new(below, &mut changes);
        let home = command.home();
        let Command { now, cred, fs, action, appends, .. } = command;
        if appends.len() > APPENDS_PER_COMMAND
            || !(appends.is_empty() || matches!(action, Action::Commit { .. }))
        {
            return Ok(encode_outcome(&Err(FsError::Invalid.into())));
        }
        let mut work = Work { map: &mut overlay, fs, now, cred, accounts: Accounts::default() };
        let outcome = match run(&mut work, action) {
            Ok(reply) => Ok(reply),
            Err(Stop::Fail(failure)) => return Ok(encode_outcome(&Err(failure))),
            Err(Stop::Map(error)) => return Err(error),
        };
        let accounts = work.keep_accounts()?;
        for append in appends {
            remember_append(&mut overlay, &keys::replay(fs, home, &append.request), append)?;
        }
        let reply = encode_outcome(&outcome);
        if let Some((key, request)) = replay {
            let record = remembering(last(map, &key)?, request, reply.clone());
            changes.record(&key, Some(record.encode()));
        }
        for (key, change) in changes.iter() {
            match change {
                Some(value) => map.put(key, value.clone()),
                None => map.delete(key),
            }
        }
        Ok(with_accounts(&reply, &accounts))
    }
}

/// What is remembered of a client's channel.
fn last(map: &dyn OrderedMap, key: &[u8]) -> Result<Option<Replay>, MapError> {
    map.get(key)?.map(|value| Replay::decode(&value)).transpose()
}

/// The answer to a request that took effect before.
fn remembered(map: &dyn OrderedMap, key: &[u8], request: &RequestId) -> Result<Option<Bytes>, MapError> {
    let Some(last) = last(map, key)? else { return Ok(None) };
    let forgotten = || Some(encode_outcome(&Err(Failure::Fs(FsError::StaleRequest))));
    match request.sequence.cmp(&last.sequence) {
        Ordering::Greater => return Ok(None),
        Ordering::Less => return Ok(forgotten()),
        Ordering::Equal => {}
    }
    if let Some((_, reply)) = last.replies.iter().find(|(step, _)| *step == request.step) {
        return Ok(Some(reply.clone()));
    }
    // A step before the oldest that is remembered may have been forgotten.
    let full = last.replies.len() == Replay::STEPS_MAX;
    let oldest = last.replies.first().is_some_and(|(step, _)| request.step < *step);
    Ok(if full && oldest { forgotten() } else { None })
}

/// The outcome that the command's request had when it took effect, if it did. Of the request's sequence the low 32 bits
/// count, which is all that some clients say of it.
///
/// # Errors
/// Those of the map.
pub fn first_answer(map: &dyn OrderedMap, command: &Command) -> Result<Option<Outcome>, MapError> {
    let Some(request) = &command.request else { return Ok(None) };
    let Some(last) = last(map, &keys::replay(command.fs, command.home(), request))? else { return Ok(None) };
    if last.sequence as u32 != request.sequence as u32 {
        return Ok(None);
    }
    let reply = last.replies.iter().find(|(step, _)| *step == request.step);
    reply.map(|(_, reply)| reply_of(reply)).transpose()
}

/// An append is done; of a channel that has gone on since nobody asks for it again.
fn remember_append(map: &mut dyn OrderedMapMut, key: &[u8], append: Append) -> Result<(), MapError> {
    let Append { request, done } = append;
    let last = last(map, key)?;
    if last.as_ref().is_some_and(|last| last.sequence > request.sequence) {
        return Ok(());
    }
    let reply = encode_outcome(&Ok(Reply::Appended(done)));
    map.put(key, remembering(last, request, reply).encode());
    Ok(())
}

/// How far an append to `file` has come that was written back, or a part of it.
///
/// # Errors
/// [`FsError::StaleRequest`] when its channel has gone on since; those of the map.
pub fn appended(map: &dyn OrderedMap, file: FileId, request: &RequestId) -> Answer<Option<Appended>> {
    let key = keys::replay(file.fs, file.ino.slot(), request);
    let Some(answer) = remembered(map, &key, request)? else { return Ok(None) };
    match reply_of(&answer)? {
        Ok(Reply::Appended(done)) => Ok(Some(done)),
        Ok(_) => Err(FsError::Invalid.into()),
        Err(Failure::Fs(error)) => Err(error.into()),
        Err(_) => Err(FsError::Io.into()),
    }
}

/// What is remembered once `reply` is the answer to `request`: the steps of one request stay together, as
/// the whole request is what a client sends again.
fn remembering(last: Option<Replay>, request: RequestId, reply: Bytes) -> Replay {
    let mut record = last
        .filter(|last| last.sequence == request.sequence)
        .unwrap_or(Replay { sequence: request.sequence, replies: Vec::new() });
    record.replies.retain(|(step, _)| *step != request.step);
    let at = record.replies.partition_point(|(step, _)| *step < request.step);
    record.replies.insert(at, (request.step, reply));
    if record.replies.len() > Replay::STEPS_MAX {
        record.replies.remove(0);
    }
    record
}

fn run(work: &mut Work<'_>, action: Action) -> Step<Reply> {
    match action {
        Action::MakeFilesystem { name, hash_key } => filesystem::make(work, &name, hash_key),
        Action::RemoveFilesystem { id, retained } => removal::remove(work, id, retained),
        Action::EmptySlot { slot, from, inodes } => removal::empty(work, slot, &from, inodes),
        Action::ForgetFilesystem { id } => removal::forget(work, id),
        Action::Create(args) => create::create(work, args),
        Action::Link { ino, dir, name } => link::link(work, ino, dir, name),
        Action::Remove { dir, name, directory, seen, keep } => {
            remove::remove(work, dir, &name, directory, seen, keep)
        }
        Action::Rename { from_dir, from_name, to_dir, to_name, exists, seen, keep } => {
            rename::rename(work, rename::Rename { from_dir, from_name, to_dir, to_name, exists, seen, keep })
        }
        Action::SetAttr { ino, set, may_write, if_ctime } => {
            setattr::setattr(work, ino, &set, may_write, if_ctime)
        }
        Action::SetXattr { ino, name, value, must_exist } => xattr::set(work, ino, &name, value, must_exist),
        Action::Stage { near, mode } => stage::stage(work, near, mode),
        Action::Put(args) => put::put(work, args),
        Action::MakeSystem => system::make(work),
        Action::SetSystem { ino, name, value, if_content, if_value } => {
            system::set(work, ino, &name, value, if_content, if_value)
        }
        Action::Retain { ino, retention, bypass, seen } => {
            retention::retain(work, ino, retention, bypass, seen)
        }
        Action::Guard { ino, guard } => retention::guard(work, ino, guard),
        commit @ Action::Commit { .. } => commit::commit(work, commit),
        Action::Space { ino, range, space, extend } => space::space(work, ino, range, space, extend),
        Action::CloneRange { from, from_offset, to, to_offset, length } => clone_range::clone_range(
            work,
            &clone_range::CloneRange { from, from_offset, to, to_offset, length },
        ),
        Action::Relocate { key, stripe, new, moves } => {
            relocate::relocate(work, &key, stripe, new.as_ref(), &moves)
        }
        Action::GrantStripes { near, count } => stripes::grant(work, near, count),
        Action::DropOrphan { ino } => drain::drop_orphan(work, ino),
        Action::Drain { ino } => drain::drain(work, ino),
        Action::ForgetStripes { stripes } => stripes::forget(work, &stripes),
        Action::Bury { stripes } => stripes::bury(work, &stripes),
        Action::Unbury { stripes } => stripes::unbury(work, &stripes),
        Action::NoteScrub { near, scrub } => {
            work.put(&keys::scrub(near.slot()), &scrub);
            Ok(Reply::Done)
        }
        Action::ForgetReplays { channels, near } => client::forget_replays(work, &channels, near),
        Action::KeepClient { client, holds, kept } => client::keep(work, client, holds, kept),
        Action::DisownClients { clients } => client::disown(work, &clients),
        Action::EndClients { clients } => client::end(work, &clients),
        Action::DropClients { clients } => client::drop_ended(work, &clients),
    }
}

#[cfg(test)]
mod tests;
