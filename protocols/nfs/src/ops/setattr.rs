//! SETATTR (RFC 8881 section 18.30).

use crate::attrs;
use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{SetattrArgs, SetattrOk, Status};
use vfs::{SetAttrOf, Vfs};

pub(super) async fn setattr<V: Vfs>(c: &mut Compound<'_, V>, args: SetattrArgs) -> Result<SetattrOk, Status> {
    let file = c.writable()?;
    let set = attrs::settable(&args.attrs, c.minor, false)?;
    let open = match set.size {
        Some(_) => c.io(args.stateid, file.file, Need::Write)?,
        None => None,
    };
    let request = SetAttrOf { file: file.file, open, set, if_ctime: None };
    c.vfs().setattr(&c.change(&file, 0)?, request).await.or_status()?;
    Ok(SetattrOk { attrsset: args.attrs.mask })
}
