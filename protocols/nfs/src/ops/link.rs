//! LINK (RFC 8881 section 18.9).

use crate::compound::{Compound, OrStatus, name};
use nfs_wire::{ChangeInfo, ChangeOk, LinkArgs, Status};
use vfs::{Link, Vfs};

pub(super) async fn link<V: Vfs>(c: &mut Compound<'_, V>, args: LinkArgs) -> Result<ChangeOk, Status> {
    let file = c.saved_file()?;
    let dir = c.writable()?;
    if file.file.fs != dir.file.fs || file.export.id != dir.export.id {
        return Err(Status::XDev);
    }
    let request = Link { file: file.file, dir: dir.file, name: name(&args.name)? };
    let reply = c.vfs().link(&c.change(&dir, 0)?, request).await.or_status()?;
    let change = ChangeInfo { atomic: true, before: reply.dir.before, after: reply.dir.after };
    Ok(ChangeOk { change })
}
