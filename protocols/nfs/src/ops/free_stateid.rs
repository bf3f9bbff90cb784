//! FREE_STATEID (RFC 8881 section 18.38).

use crate::compound::Compound;
use nfs_wire::{FreeStateidArgs, Status};
use vfs::Vfs;

pub(super) fn free_stateid<V: Vfs>(c: &mut Compound<'_, V>, args: FreeStateidArgs) -> Result<(), Status> {
    let stateid = c.stateid(args.stateid)?;
    c.client()?.state().table.free(&stateid)
}
