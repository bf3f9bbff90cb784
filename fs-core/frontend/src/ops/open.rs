//! Opening files.

use super::create::change;
use crate::opens::Opened;
use crate::propose::{answer, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::{directory, inode};
use namespace::{Action, Exists, NodeSpec, Reply};
use types::{AccessMask, Attr, Cred, FileId, FileKind, FsError, SetAttr};
use vfs::{CreateHow, Ctx, DirChange, Open, OpenAccess, OpenReply, OpenTarget, Reopen};

pub(crate) async fn open<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Open,
) -> Result<OpenReply, FsError> {
    let Found { attr, dir, created } = find(fe, ctx, &request).await?;
    let file = attr.file;
    match attr.kind {
        FileKind::File => {}
        FileKind::Directory => return Err(FsError::IsDirectory),
        FileKind::Symlink => return Err(FsError::IsSymlink),
        _ => return Err(FsError::WrongKind),
    }
    let node = fe.0.nodes.get(file);
    let open = fe.0.opens.next();
    {
        // While the gate is held, the last name cannot go.
        let _pass = node.gate.read().await;
        let inode = match fe.inode(file) {
            Ok(inode) if inode.links > 0 || node.state.lock().orphan => inode,
            _ => return Err(FsError::Stale),
        };
        if !created {
            may_open(&ctx.cred, &inode, &request)?;
        }
        fe.0.locks.open(file, open, ctx.client, request.access, request.deny)?;
        fe.0.opens.add(open, Opened { file, client: ctx.client, access: request.access });
        node.state.lock().opens += 1;
    }
    let size = request.create.as_ref().and_then(|create| create.set.size).filter(|_| !created);
    let size = if request.truncate && !created { Some(0) } else { size };
    if let Some(size) = size {
        let set = SetAttr { size: Some(size), ..SetAttr::default() };
        if let Err(error) = super::setattr::resize(fe, ctx, &node, set, request.access.write).await {
            super::close::close_open(fe, open)?;
            return Err(error);
        }
    }
    Ok(OpenReply { open, attr: fe.attr(file)?, created, dir })
}

struct Found {
    attr: Attr,
    dir: Option<DirChange>,
    created: bool,
}

async fn find<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: &Open,
) -> Result<Found, FsError> {
    let (dir, name) = match &request.target {
        OpenTarget::File(file) => return Ok(Found { attr: fe.attr(*file)?, dir: None, created: false }),
        OpenTarget::Entry { dir, name } => (*dir, name),
    };
    let Some(create) = &request.create else {
        let view = fe.view()?;
        let (ino, found) = answer(directory::lookup(&view, &ctx.cred, dir, name))?;
        let now = answer(inode::inode(&view, dir))?.change;
        let attr = inode::attr_of(FileId { ino, ..dir }, &found);
        return Ok(Found { attr, dir: Some(DirChange { before: now, after: now }), created: false });
    };
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
        Reply::Created { attr, dir, created } => Ok(Found { attr, dir: Some(change(dir)), created }),
        reply => Err(unexpected(&reply)),
    }
}

fn may_open(cred: &Cred, inode: &namespace::records::Inode, request: &Open) -> Result<(), FsError> {
    let mut mask = AccessMask::default();
    if request.access.read {
        let executable =
            request.for_execution && inode::access(cred, inode, AccessMask::EXECUTE) == AccessMask::EXECUTE;
        if !executable {
            mask = mask.union(AccessMask::READ);
        }
    }
    if request.access.write || request.truncate {
        mask = mask.union(AccessMask::WRITE);
    }
    answer(inode::require(cred, inode, mask))
}

pub(crate) async fn reopen<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Reopen,
) -> Result<(), FsError> {
    let opened = fe.0.opens.find(request.open)?;
    let OpenAccess { read, write } = request.access;
    let more = |now: bool, before: bool| now && !before;
    if more(read, opened.access.read) || more(write, opened.access.write) {
        let mut mask = AccessMask::default();
        if read {
            mask = mask.union(AccessMask::READ);
        }
        if write {
            mask = mask.union(AccessMask::WRITE);
        }
        answer(inode::require(&ctx.cred, &fe.inode(opened.file)?, mask))?;
    }
    fe.0.locks.open(opened.file, request.open, opened.client, request.access, request.deny)?;
    fe.0.opens.change(request.open, request.access);
    Ok(())
}
