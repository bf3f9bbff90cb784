//! GETFH (RFC 8881 section 18.8).

use crate::compound::{Compound, Place};
use crate::handle::Handle;
use nfs_wire::{GetfhOk, Status};
use vfs::Vfs;
use xdr::Opaque;

pub(super) fn getfh<V: Vfs>(c: &mut Compound<'_, V>) -> Result<GetfhOk, Status> {
    let handle = match c.place()? {
        Place::Pseudo(id) => Handle::Pseudo(*id),
        Place::File(file) => file.handle(),
    };
    Ok(GetfhOk { object: Opaque(handle.encode()) })
}
