//! GETATTR (RFC 8881 section 18.7).

use crate::attrs;
use crate::compound::{Compound, OrStatus, Place};
use nfs_wire::{Attributes, Bitmap, GetattrArgs, GetattrOk, Status};
use vfs::{GetAttr, StatFs, Vfs};

pub(super) async fn getattr<V: Vfs>(c: &mut Compound<'_, V>, args: GetattrArgs) -> Result<GetattrOk, Status> {
    c.place()?;
    let wanted = attrs::readable(&args.request, c.minor)?;
    let attributes = attributes(c, &wanted).await?;
    Ok(GetattrOk { attrs: attributes.to_fattr(&wanted) })
}

/// The attributes of the current file, at least those that are wanted.
pub(super) async fn attributes<V: Vfs>(c: &Compound<'_, V>, wanted: &Bitmap) -> Result<Attributes, Status> {
    let lease = c.shared.config.lease;
    match c.place()? {
        Place::Pseudo(id) => {
            let look = c.shared.exports().look(*id, c.caller.peer.ip());
            Ok(attrs::of_pseudo(*id, look, c.minor, lease))
        }
        Place::File(file) => {
            let ctx = c.ctx(file)?;
            let attr = c.vfs().getattr(&ctx, GetAttr { file: file.file }).await.or_status()?.attr;
            let statfs = if attrs::wants_statfs(wanted) {
                Some(c.vfs().statfs(&ctx, StatFs { fs: file.file.fs }).await.or_status()?)
            } else {
                None
            };
            Ok(attrs::of_file(file, &attr, statfs.as_ref(), c.minor, lease))
        }
    }
}
