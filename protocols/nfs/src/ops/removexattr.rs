//! REMOVEXATTR (RFC 8276 section 8.4.5).

use super::getxattr::xattr_name;
use crate::compound::{Compound, OrStatus};
use nfs_wire::{ChangeInfo, ChangeOk, RemovexattrArgs, Status};
use vfs::{RemoveXattr, Vfs};

pub(super) async fn removexattr<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: RemovexattrArgs,
) -> Result<ChangeOk, Status> {
    let file = c.writable()?;
    let request = RemoveXattr { file: file.file, name: xattr_name(&args.name)? };
    let reply = c.vfs().removexattr(&c.change(&file, 0)?, request).await.or_status()?;
    let change = ChangeInfo { atomic: true, before: reply.change.before, after: reply.change.after };
    Ok(ChangeOk { change })
}
