//! REMOVE, of files and of directories (RFC 8881 section 18.25).

use crate::compound::{Compound, OrStatus, name};
use nfs_wire::{ChangeInfo, ChangeOk, RemoveArgs, Status};
use types::FsError;
use vfs::{Rmdir, Unlink, Vfs};

pub(super) async fn remove<V: Vfs>(c: &mut Compound<'_, V>, args: RemoveArgs) -> Result<ChangeOk, Status> {
    let dir = c.writable()?;
    let name = name(&args.target)?;
    let unlink = Unlink { dir: dir.file, name: name.clone() };
    let reply = match c.vfs().unlink(&c.change(&dir, 0)?, unlink).await {
        Err(FsError::IsDirectory | FsError::NotDone) => {
            c.vfs().rmdir(&c.change(&dir, 1)?, Rmdir { dir: dir.file, name }).await
        }
        reply => reply,
    }
    .or_status()?;
    let change = ChangeInfo { atomic: true, before: reply.dir.before, after: reply.dir.after };
    Ok(ChangeOk { change })
}
