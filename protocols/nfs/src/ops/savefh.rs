//! SAVEFH (RFC 8881 section 18.28).

use crate::compound::Compound;
use nfs_wire::Status;
use vfs::Vfs;

pub(super) fn savefh<V: Vfs>(c: &mut Compound<'_, V>) -> Result<(), Status> {
    c.saved = Some(c.place()?.clone());
    c.saved_stateid = c.current_stateid;
    Ok(())
}
