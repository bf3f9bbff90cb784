//! The right to use the data of a file.

use crate::look::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use namespace::records::Inode;
use types::{AccessMask, FileId, FileKind, FsError};
use vfs::{Ctx, OpenAccess, OpenId};

/// Only regular files have data.
pub(crate) fn must_be_file(kind: FileKind) -> Result<(), FsError> {
    match kind {
        FileKind::File => Ok(()),
        FileKind::Directory => Err(FsError::IsDirectory),
        FileKind::Symlink => Err(FsError::IsSymlink),
        _ => Err(FsError::WrongKind),
    }
}

/// The caller may use the file's data in this way: through its open or by its rights, unless an open denies
/// it.
pub(crate) async fn may_use<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    file: FileId,
    open: Option<OpenId>,
    access: OpenAccess,
) -> Result<(), FsError> {
    // Only files that are there are open.
    if let Some(open) = open
        && allows(fe, open, file, access)
    {
        return Ok(());
    }
    may_use_inode(fe, ctx, (file, &fe.inode(file).await?), open, access)
}

fn allows<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    open: OpenId,
    file: FileId,
    access: OpenAccess,
) -> bool {
    fe.0.opens
        .of(open, file)
        .is_ok_and(|opened| (opened.access.read || !access.read) && (opened.access.write || !access.write))
}

/// As [`may_use`], of an inode that was read before.
pub(crate) fn may_use_inode<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    (file, inode): (FileId, &Inode),
    open: Option<OpenId>,
    access: OpenAccess,
) -> Result<(), FsError> {
    must_be_file(inode.kind)?;
    if let Some(open) = open {
        return if allows(fe, open, file, access) { Ok(()) } else { Err(FsError::BadOpen) };
    }
    answer(inode::require(&ctx.cred, inode, rights(access)))?;
    fe.0.clients.may_use(ctx.client)?;
    if fe.0.locks.denies(file, access) { Err(FsError::ShareConflict) } else { Ok(()) }
}

/// The rights that this access needs.
pub(crate) fn rights(access: OpenAccess) -> AccessMask {
    let mut mask = AccessMask::default();
    if access.read {
        mask = mask.union(AccessMask::READ);
    }
    if access.write {
        mask = mask.union(AccessMask::WRITE);
    }
    mask
}
