//! Opening files.

use super::create::change;
use super::may_use::{must_be_file, rights};
use crate::locks::share;
use crate::look::answer;
use crate::making::Maker;
use crate::opens::Opened;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Room, Shards, Stripes};
use locking::{Holds, ShareAccess};
use map::OrderedMap;
use namespace::queries::{directory, inode};
use namespace::records::Inode;
use namespace::{Action, Exists, NodeSpec, Reply};
use std::time::Duration;
use types::{AccessMask, Cred, FileId, FileKind, FsError};
use vfs::{CreateHow, Ctx, DirChange, Open, OpenAccess, OpenReply, OpenTarget, Reopen};

pub(crate) async fn open<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Open,
) -> Result<OpenReply, FsError> {
    if matches!(request.target, OpenTarget::File(_)) && request.create.is_some() {
        return Err(FsError::Invalid);
    }
    let mut ctx = ctx.clone();
    if !ctx.again {
        let deny = share(request.deny);
        fe.0.clients.may_open(ctx.client, request.reclaim, deny)?;
        fe.note_holds(ctx.client, Holds::open(deny)).await?;
    }
    let mut making = match &request.target {
        OpenTarget::Entry { dir, name } if request.create.is_some() => Some(fe.0.making.begin(*dir, name)),
        _ => None,
    };
    for _ in 0..TRIES {
        let found = find(fe, &ctx, &request).await?;
        match open_found(fe, &ctx, &request, found, &mut making).await {
            // What stood at the name has gone meanwhile: look at the name again. The first answer to
            // the request is of no more use.
            Err(FsError::Stale) if ctx.again => return Err(FsError::NotDone),
            Err(FsError::Stale) if matches!(request.target, OpenTarget::Entry { .. }) => ctx.request = None,
            result => return result,
        }
    }
    Err(FsError::Delay)
}

async fn open_found<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: &Open,
    found: Found,
    making: &mut Option<Maker<'_>>,
) -> Result<OpenReply, FsError> {
    let Found { file, kind, dir, created } = found;
    must_be_file(kind)?;
    let size = request.create.as_ref().and_then(|create| create.set.size);
    let size = request.truncate.then_some(0).or(size).filter(|_| !created);
    let node = fe.0.nodes.get(file);
    let open = fe.0.opens.next();
    {
        // While the gate is held, the last name cannot go, nor the last open of an orphan.
        let _pass = node.gate.read().await;
        let inode = fe.inode(file).await?;
        if !created {
            may_open(&ctx.cred, &inode, request, size.is_some())?;
            if request.access.write || size.is_some() {
                answer(inode::refuse_retained(&inode, fe.0.clock.now()))?;
            }
        }
        fe.0.locks.open(file, open, ctx.client, request.access, request.deny)?;
        fe.0.opens.add(open, Opened { file, client: ctx.client, access: request.access });
        let mut state = node.state.lock();
        state.opens += 1;
        // Claimed: who looks for those that nobody has claimed may come to it only after its last close.
        state.orphan |= inode.links == 0;
        // Whoever removes the name sees the open from here on.
        *making = None;
    }
    // Who removes the filesystem has seen this open, or this sees that it goes.
    if let Err(error) = fe.0.removals.present(file.fs).await {
        super::close::close_open(fe, open).await?;
        return Err(error);
    }
    let opened = match size {
        Some(size) => super::setattr::resize(fe, ctx, &node, size).await,
        None => Ok(()),
    };
    let opened = match opened {
        Ok(()) => fe.attr(file).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(attr) => Ok(OpenReply { open, attr, created, dir, trust: Duration::ZERO }),
        Err(error) => {
            super::close::close_open(fe, open).await?;
            Err(error)
        }
    }
}

struct Found {
    file: FileId,
    kind: FileKind,
    dir: Option<DirChange>,
    created: bool,
}

async fn find<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: &Open,
) -> Result<Found, FsError> {
    let (dir, name) = match &request.target {
        OpenTarget::File(_) if ctx.again => return Err(FsError::NotDone),
        OpenTarget::File(file) => {
            return Ok(Found { file: *file, kind: fe.inode(*file).await?.kind, dir: None, created: false });
        }
        OpenTarget::Entry { dir, name } => (*dir, name),
    };
    let there_is = async || {
        let look = |map: &dyn OrderedMap| {
            let found = directory::lookup(map, &ctx.cred, dir, name)?;
            Ok((found, inode::inode(map, dir)?.change))
        };
        let ((ino, found), now) = fe.unlocked(|| fe.look_far(look)).await?;
        let dir_change = Some(DirChange { before: now, after: now });
        Ok(Found { file: FileId { ino, ..dir }, kind: found.kind, dir: dir_change, created: false })
    };
    let Some(create) = &request.create else {
        return if ctx.again { Err(FsError::NotDone) } else { there_is().await };
    };
    // Who empties a file by opening it must not be refused what a new one would be.
    if fe.0.stripes.metadata_room() != Room::Ample
        && !ctx.again
        && create.how == CreateHow::Unchecked
        && let Ok(found) = there_is().await
    {
        return Ok(found);
    }
    let (exists, verifier) = match create.how {
        CreateHow::Unchecked => (Exists::Accept, None),
        CreateHow::Guarded => (Exists::Fail, None),
        CreateHow::Exclusive(verifier) => (Exists::Fail, Some(verifier)),
    };
    let action = namespace::Create {
        dir: dir.ino,
        name: name.clone(),
        node: NodeSpec::File,
        mode: create.mode,
        set: create.set.clone(),
        exists,
        verifier,
    };
    match fe.propose(ctx, dir.fs, || Ok(Action::Create(action.clone()))).await? {
        Reply::Created { attr, dir, created } => {
            Ok(Found { file: attr.file, kind: attr.kind, dir: Some(change(dir)), created })
        }
        reply => Err(unexpected(&reply)),
    }
}

fn may_open(cred: &Cred, inode: &Inode, request: &Open, cuts: bool) -> Result<(), FsError> {
    if request.reclaim && inode::owns(cred, inode) {
        return Ok(());
    }
    let OpenAccess { read, write } = request.access;
    let executes =
        request.for_execution && inode::access(cred, inode, AccessMask::EXECUTE) == AccessMask::EXECUTE;
    let needs = rights(OpenAccess { read: read && !executes, write: write || cuts });
    answer(inode::require(cred, inode, needs))
}

pub(crate) async fn reopen<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Reopen,
) -> Result<(), FsError> {
    let opened = fe.0.opens.find(request.open)?;
    let OpenAccess { read, write } = request.access;
    let more = OpenAccess { read: read && !opened.access.read, write: write && !opened.access.write };
    if more.read || more.write {
        answer(inode::require(&ctx.cred, &fe.inode(opened.file).await?, rights(more)))?;
    }
    let (deny, denied) = (share(request.deny), fe.0.locks.denied_by(opened.file, request.open));
    let more = ShareAccess { read: deny.read && !denied.read, write: deny.write && !denied.write };
    if more != ShareAccess::NONE {
        fe.0.clients.may_open(opened.client, false, more)?;
        fe.note_holds(opened.client, Holds::open(more)).await?;
    }
    fe.0.locks.open(opened.file, request.open, opened.client, request.access, request.deny)?;
    fe.0.opens.change(request.open, request.access);
    Ok(())
}
