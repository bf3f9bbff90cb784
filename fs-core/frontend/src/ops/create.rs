//! Making directories, symbolic links and nodes.

use crate::propose::unexpected;
use crate::{Frontend, Shards, Stripes};
use namespace::{Action, Create, Exists, NodeSpec, Reply};
use types::{FileId, FsError, Mode};
use vfs::{CreateReply, Ctx, DirChange, Mkdir, Mknod, NodeKind, Symlink};

pub(crate) async fn mkdir<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Mkdir,
) -> Result<CreateReply, FsError> {
    let Mkdir { dir, name, mode, set } = request;
    let node = NodeSpec::Directory;
    make(fe, ctx, dir, Create { dir: dir.ino, name, node, mode, set, exists: Exists::Fail, verifier: None })
        .await
}

pub(crate) async fn symlink<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Symlink,
) -> Result<CreateReply, FsError> {
    let Symlink { dir, name, target, set } = request;
    let node = NodeSpec::Symlink(target);
    make(
        fe,
        ctx,
        dir,
        Create { dir: dir.ino, name, node, mode: Mode(0o777), set, exists: Exists::Fail, verifier: None },
    )
    .await
}

pub(crate) async fn mknod<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Mknod,
) -> Result<CreateReply, FsError> {
    let Mknod { dir, name, kind, mode, set } = request;
    let node = match kind {
        NodeKind::File => NodeSpec::File,
        NodeKind::Fifo => NodeSpec::Fifo,
        NodeKind::Socket => NodeSpec::Socket,
        NodeKind::CharDevice(device) => NodeSpec::CharDevice(device),
        NodeKind::BlockDevice(device) => NodeSpec::BlockDevice(device),
    };
    make(fe, ctx, dir, Create { dir: dir.ino, name, node, mode, set, exists: Exists::Fail, verifier: None })
        .await
}

async fn make<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    dir: FileId,
    create: Create,
) -> Result<CreateReply, FsError> {
    match fe.propose(ctx, dir.fs, || Ok(Action::Create(create.clone()))).await? {
        Reply::Created { attr, dir, .. } => Ok(CreateReply { attr, dir: change(dir) }),
        reply => Err(unexpected(&reply)),
    }
}

/// The contract's form of a directory's change.
pub(crate) fn change(change: namespace::DirChange) -> DirChange {
    DirChange { before: change.before, after: change.after }
}
