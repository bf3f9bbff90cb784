//! RECLAIM_COMPLETE (RFC 8881 section 18.51).

use crate::compound::{Compound, OrStatus};
use nfs_wire::{ReclaimCompleteArgs, Status};
use types::Cred;
use vfs::{Ctx, Reclaimed, Vfs};

pub(super) async fn reclaim_complete<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: ReclaimCompleteArgs,
) -> Result<(), Status> {
    if args.one_fs {
        // Said after a filesystem has moved here, which none does; there is nothing to end.
        c.place()?;
        return Ok(());
    }
    let client = c.client()?.clone();
    if client.state().reclaimed {
        return Err(Status::CompleteAlready);
    }
    let ctx = Ctx { client: client.vfs, ..Ctx::new(Cred::root()) };
    c.vfs().reclaimed(&ctx, Reclaimed { client: client.vfs }).await.or_status()?;
    client.state().reclaimed = true;
    Ok(())
}
