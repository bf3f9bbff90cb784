//! LOCKT (RFC 8881 section 18.11).

use super::lock::{denied, kind, range};
use crate::compound::{Compound, OrStatus};
use nfs_wire::{LockOutcome, LocktArgs, Status};
use vfs::{GetAttr, LockOwner, LockSpace, TestLock, Vfs};

/// The number of no owner.
const NOBODY: u64 = 0;

pub(super) async fn lockt<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: LocktArgs,
) -> Result<LockOutcome<()>, Status> {
    let file = c.file_or(Status::IsDir)?;
    let range = range(args.offset, args.length)?;
    let (kind, _) = kind(args.kind);
    let ctx = c.ctx(&file)?;
    let attr = c.vfs().getattr(&ctx, GetAttr { file: file.file }).await.or_status()?.attr;
    match attr.kind {
        types::FileKind::File => {}
        types::FileKind::Directory => return Err(Status::IsDir),
        types::FileKind::Symlink => return Err(Status::Symlink),
        _ => return Err(Status::WrongType),
    }
    let client = c.client()?.clone();
    let owner = client.state().table.known_lock_owner(&args.owner.owner.0).unwrap_or(NOBODY);
    let owner = LockOwner { client: client.vfs, owner };
    let test = TestLock { file: file.file, owner, space: LockSpace::Range, range, kind };
    let mut reply = c.vfs().test_lock(&ctx, test.clone()).await.or_status()?;
    if reply.conflict.is_some() && c.shared.evict_silent(&client).await {
        reply = c.vfs().test_lock(&ctx, test).await.or_status()?;
    }
    Ok(match reply.conflict {
        None => LockOutcome::Granted(()),
        Some(conflict) => LockOutcome::Denied(denied(c, conflict)),
    })
}
