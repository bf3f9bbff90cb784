//! RENAME (RFC 8881 section 18.26).

use crate::compound::{Compound, OrStatus, name};
use nfs_wire::{ChangeInfo, RenameArgs, RenameOk, Status};
use vfs::{DirChange, Rename, RenameHow, Vfs};

pub(super) async fn rename<V: Vfs>(c: &mut Compound<'_, V>, args: RenameArgs) -> Result<RenameOk, Status> {
    let from = c.saved_file()?;
    let to = c.writable()?;
    if from.file.fs != to.file.fs || from.export.id != to.export.id {
        return Err(Status::XDev);
    }
    let request = Rename {
        from_dir: from.file,
        from_name: name(&args.old)?,
        to_dir: to.file,
        to_name: name(&args.new)?,
        how: RenameHow::Replace,
    };
    let reply = match c.vfs().rename(&c.change(&to, 0)?, request).await {
        // A target of another kind, or one that is not empty, is "there already" (RFC 8881 section 18.26.3).
        Err(types::FsError::NotEmpty | types::FsError::IsDirectory) => return Err(Status::Exist),
        reply => reply.or_status()?,
    };
    let change = |c: DirChange| ChangeInfo { atomic: true, before: c.before, after: c.after };
    Ok(RenameOk { source: change(reply.from_dir), target: change(reply.to_dir) })
}
