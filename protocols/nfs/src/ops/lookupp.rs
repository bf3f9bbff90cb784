//! LOOKUPP (RFC 8881 section 18.14).

use crate::compound::{Compound, OrStatus, Place};
use nfs_wire::Status;
use types::{FileKind, FsError};
use vfs::{GetAttr, LookupParent, Vfs};

pub(super) async fn lookupp<V: Vfs>(c: &mut Compound<'_, V>) -> Result<(), Status> {
    let parent = match c.place()? {
        Place::Pseudo(id) => c.shared.exports().parent(*id).map(Place::Pseudo).ok_or(Status::NoEnt)?,
        Place::File(dir) if dir.export.root() == Some(dir.file) => {
            dir.export.parent().map(Place::Pseudo).ok_or(Status::NoEnt)?
        }
        Place::File(dir) => {
            let request = LookupParent { dir: dir.file };
            let ctx = c.ctx(dir)?;
            let reply = match c.vfs().lookup_parent(&ctx, request).await {
                Err(FsError::NotDirectory) => {
                    let attr = c.vfs().getattr(&ctx, GetAttr { file: dir.file }).await.or_status()?.attr;
                    let symlink = attr.kind == FileKind::Symlink;
                    return Err(if symlink { Status::Symlink } else { Status::NotDir });
                }
                reply => reply.or_status()?,
            };
            Place::File(dir.sibling(reply.attr.file))
        }
    };
    c.set_current(parent);
    Ok(())
}
