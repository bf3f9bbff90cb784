//! Writing data.

use super::may_use::{may_use, may_use_inode};
use crate::background::Work;
use crate::look::{Stop, answer};
use crate::nodes::{Held, State};
use crate::promise::Taking;
use crate::propose::TRIES;
use crate::{Frontend, Shards, Stripes};
use map::OrderedMap;
use namespace::queries::Answer;
use namespace::queries::reserved::held;
use namespace::queries::{inode, xattr};
use namespace::records::Inode;
use namespace::{Action, Appended};
use std::sync::atomic::Ordering;
use types::limits::{FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{ByteRange, FileId, FsError, RequestId};
use vfs::{Ctx, Durability, OpenAccess, Write, WriteOffset, WriteReply};

pub(crate) async fn write<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Write,
) -> Result<WriteReply, FsError> {
    let file = request.file;
    if request.data.len() > IO_BYTES_MAX {
        may_use(fe, ctx, file, request.open, WRITE).await?;
        return Err(FsError::Invalid);
    }
    let node = fe.0.nodes.get(file);
    let room = match make_room(fe, &node, &request).await {
        Ok(room) => room,
        // What was done before it was full is done.
        Err(error) => match known(fe, &node, append_of(ctx, &request)).await? {
            Some(Appended { offset, whole: true, .. }) => return done_before(fe, &node, offset).await,
            _ => return Err(error),
        },
    };
    let mut taken = take(fe, ctx, &node, &request).await?;
    for _ in 0..TRIES {
        let Taken::HasPrivileges = taken else { break };
        drop_privileges(fe, ctx, file).await?;
        taken = take(fe, ctx, &node, &request).await?;
    }
    drop(room);
    let offset = match taken {
        Taken::At(offset) => offset,
        Taken::Before(offset) => return done_before(fe, &node, offset).await,
        Taken::HasPrivileges => return Err(FsError::Delay),
    };
    let durability = settle(fe, &node, request.durability).await?;
    Ok(WriteReply { offset, durability, verifier: fe.0.verifier })
}

/// The request, if it is an append that may come again.
fn append_of(ctx: &Ctx, request: &Write) -> Option<RequestId> {
    ctx.request.filter(|_| request.offset == WriteOffset::End)
}

/// How far an append has come at an earlier try.
async fn known<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    node: &Held,
    append: Option<RequestId>,
) -> Result<Option<Appended>, FsError> {
    if append.is_none() {
        return Ok(None);
    }
    let look = |map: &dyn OrderedMap, state: &State| known_now(map, state, node.file, append);
    fe.unlocked(|| fe.look_with(node, State::turn_of_write_backs, look, |known, _| Ok(known))).await
}

fn known_now(
    map: &dyn OrderedMap,
    state: &State,
    file: FileId,
    append: Option<RequestId>,
) -> Answer<Option<Appended>> {
    let Some(append) = append else { return Ok(None) };
    match state.offset_of(&append)? {
        // All of it waits.
        Some(offset) => Ok(Some(Appended { offset, bytes: 0, whole: true })),
        None => namespace::appended(map, file, &append),
    }
}

/// An append was done at an earlier try. Whoever hears of it now must not take it for newer than what was written since.
async fn done_before<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    node: &Held,
    offset: u64,
) -> Result<WriteReply, FsError> {
    fe.flush(node).await?;
    Ok(WriteReply { offset, durability: Durability::File, verifier: fe.0.verifier })
}

/// Extents of a reserved range that are looked at.
const EXTENTS: usize = 1024;
const WRITE: OpenAccess = OpenAccess { read: false, write: true };

/// Room in memory and on the drives.
type Room<'a> = (Taking<'a>, Taking<'a>);

/// Waits until what is to be written has room in memory and, later, on the drives.
async fn make_room<'a, S: Shards, D: Stripes>(
    fe: &'a Frontend<S, D>,
    node: &Held,
    request: &Write,
) -> Result<Room<'a>, FsError> {
    let bytes = request.data.len() as u64;
    let counter = &fe.0.dirty_bytes;
    let max = fe.0.options.dirty_bytes_max;
    let reserve = || {
        // One write has room when nothing else waits, however small the bound is.
        let grown = |now: u64| (now == 0 || now + bytes <= max).then_some(now + bytes);
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    };
    let (mut result, mut refused) = (Ok(()), false);
    for attempt in 0.. {
        if reserve() {
            let memory = Taking { counter, bytes };
            let mut drives = fe.room_for(&node.state.lock(), bytes, false);
            if drives.is_none() && is_reserved(fe, request).await {
                drives = fe.room_for(&node.state.lock(), bytes, true);
            }
            if let Some(drives) = drives {
                return Ok((memory, drives));
            }
            drop(memory);
            if refused {
                return Err(FsError::NoSpace);
            }
            refused = true;
            fe.look_for_room().await?;
            continue;
        }
        result?;
        result = if attempt == 0 {
            fe.flush(node).await
        } else {
            let _one = fe.0.making_room.lock().await;
            // Somebody else may have made room meanwhile.
            if reserve() {
                counter.fetch_sub(bytes, Ordering::Relaxed);
                Ok(())
            } else {
                fe.flush_all().await
            }
        };
        if attempt > 0 {
            tokio::task::yield_now().await;
        }
    }
    Err(FsError::Delay)
}

/// Whether all of what is to be written was reserved, and not written since.
async fn is_reserved<S: Shards, D: Stripes>(fe: &Frontend<S, D>, request: &Write) -> bool {
    let WriteOffset::At(offset) = request.offset else { return false };
    let range = ByteRange::new(offset, request.data.len() as u64);
    let look = || fe.look(|map| held(map, request.file, range, EXTENTS));
    // What else is wrong is told by the write itself.
    fe.unlocked(look).await.is_ok_and(|held| held.reserved == range.len())
}

enum Taken {
    /// The bytes are in memory, and went here.
    At(u64),
    /// An earlier try of the same append put them here.
    Before(u64),
    /// Setuid, setgid or capabilities have to fall first.
    HasPrivileges,
}

/// Takes the bytes into memory.
async fn take<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Held,
    request: &Write,
) -> Result<Taken, FsError> {
    let _pass = node.gate.read().await;
    fe.unlocked(|| take_now(fe, ctx, node, request)).await
}

async fn take_now<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Held,
    request: &Write,
) -> Result<Taken, Stop> {
    let append = append_of(ctx, request);
    if let Some(append) = &append {
        fe.settled(append).await?;
    }
    let look = |map: &dyn OrderedMap, state: &State| {
        let inode = inode::inode(map, request.file)?;
        let has_privileges = xattr::has_privileges(map, &ctx.cred, request.file, &inode)?;
        let appended = known_now(map, state, request.file, append)?;
        Ok(Seen { inode, has_privileges, append, appended })
    };
    let take = |seen, state: &mut State| take_seen(fe, ctx, request, seen, state);
    // What others write meanwhile does no harm; the gate keeps away what cuts the file.
    fe.look_with(node, State::turn_of_write_backs, look, take).await
}

/// What is known of the file when bytes are taken.
struct Seen {
    inode: Inode,
    has_privileges: bool,
    /// The request, if it is an append that may come again, and how far it has come at an earlier try.
    append: Option<RequestId>,
    appended: Option<Appended>,
}

fn take_seen<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: &Write,
    seen: Seen,
    state: &mut State,
) -> Result<Taken, Stop> {
    let Seen { inode, has_privileges, append, appended } = seen;
    if let Some(Appended { offset, whole: true, .. }) = appended {
        return Ok(Taken::Before(offset));
    }
    may_use_inode(fe, ctx, (request.file, &inode), request.open, WRITE)?;
    answer(inode::refuse_retained(&inode, fe.0.clock.now()))?;
    let at_end = inode.size.max(state.end());
    let offset = match (request.offset, appended) {
        (WriteOffset::At(offset), _) => offset,
        // A crash has left its beginning, and nobody has come after it.
        (WriteOffset::End, Some(part)) if part.offset + part.bytes == at_end => part.offset,
        (WriteOffset::End, _) => at_end,
    };
    let end = offset.checked_add(request.data.len() as u64).filter(|end| *end <= FILE_BYTES_MAX);
    if end.is_none() {
        return Err(FsError::FileTooLarge.into());
    }
    if request.data.is_empty() {
        return Ok(Taken::At(offset));
    }
    if has_privileges {
        return Ok(Taken::HasPrivileges);
    }
    if let Some(append) = append {
        state.dirty.note_append(append, ByteRange::new(offset, request.data.len() as u64));
    }
    let before = state.dirty.cost();
    state.dirty.insert(offset, request.data.clone());
    state.changes += 1;
    // Rewriting may also take less: the counter wraps back.
    fe.0.dirty_bytes.fetch_add(state.dirty.cost().wrapping_sub(before), Ordering::Relaxed);
    fe.promise(state);
    state.dirty.written = Some(fe.0.clock.now());
    state.change_seen = state.change_seen.max(inode.change) + 1;
    state.dirty_since.get_or_insert_with(|| fe.0.clock.monotonic());
    Ok(Taken::At(offset))
}

/// Lets fall what a write of the caller takes from a program.
async fn drop_privileges<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
) -> Result<(), FsError> {
    let action = Action::Commit {
        ino: file.ino,
        stripes: Vec::new(),
        extents: Vec::new(),
        inline: None,
        size_at_least: 0,
        change_at_least: 0,
        written: None,
        drop_privileges: true,
    };
    fe.propose_as(ctx.cred.clone(), file.fs, action).await?;
    fe.note_change(file);
    Ok(())
}

async fn settle<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    node: &Held,
    asked: Durability,
) -> Result<Durability, FsError> {
    if asked != Durability::Unstable {
        fe.flush(node).await?;
        return Ok(Durability::File);
    }
    let full = {
        let mut state = node.state.lock();
        let full = !state.queued && state.dirty.bytes() >= fe.0.options.dirty_file_bytes;
        state.queued |= full;
        full
    };
    if full {
        fe.later(Work::Flush(node.clone()));
    }
    Ok(Durability::Unstable)
}
