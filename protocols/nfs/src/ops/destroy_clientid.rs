//! DESTROY_CLIENTID (RFC 8881 section 18.50).

use crate::clients::Ended;
use crate::compound::Compound;
use nfs_wire::{DestroyClientidArgs, Status};
use vfs::Vfs;

pub(super) async fn destroy_clientid<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: DestroyClientidArgs,
) -> Result<(), Status> {
    let mut ended = Ended::new();
    let result = c.shared.clients.destroy_client(args.clientid, &mut ended);
    c.shared.end_clients(ended).await;
    result
}
