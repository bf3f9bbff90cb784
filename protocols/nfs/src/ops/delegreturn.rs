//! DELEGRETURN (RFC 8881 section 18.6).

use crate::compound::Compound;
use crate::delegations;
use nfs_wire::{DelegreturnArgs, Status};
use vfs::Vfs;

pub(super) async fn delegreturn<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: DelegreturnArgs,
) -> Result<(), Status> {
    let file = c.file_or(Status::BadStateId)?;
    let stateid = c.stateid(args.stateid)?;
    let client = c.client()?.clone();
    let held = client.state().table.returned(&stateid, file.file)?;
    // First what it had open, so that it is in nobody's way.
    delegations::close(c.shared, &client, held.open).await;
    c.vfs().give_back(held.id);
    Ok(())
}
