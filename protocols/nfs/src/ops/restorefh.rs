//! RESTOREFH (RFC 8881 section 18.27).

use crate::compound::Compound;
use nfs_wire::Status;
use vfs::Vfs;

pub(super) fn restorefh<V: Vfs>(c: &mut Compound<'_, V>) -> Result<(), Status> {
    let saved = c.saved.clone().ok_or(Status::NoFileHandle)?;
    c.current = Some(saved);
    c.current_stateid = c.saved_stateid;
    Ok(())
}
