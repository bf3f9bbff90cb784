//! PUTFH (RFC 8881 section 18.19).

use crate::compound::Compound;
use crate::handle::Handle;
use nfs_wire::{PutfhArgs, Status};
use vfs::Vfs;

pub(super) async fn putfh<V: Vfs>(c: &mut Compound<'_, V>, args: PutfhArgs) -> Result<(), Status> {
    let handle = Handle::decode(&args.object).ok_or(Status::BadHandle)?;
    let place = c.enter(handle).await?;
    c.set_current(place);
    Ok(())
}
