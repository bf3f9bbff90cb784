//! CLOSE (RFC 8881 section 18.2).

use crate::compound::Compound;
use nfs_wire::{CloseArgs, Stateid, StateidOk, Status};
use vfs::{Close, LockOwner, ReleaseOwner, Vfs};

/// Locks that are still held go with the open (which section 18.2.3 leaves to the server).
pub(super) async fn close<V: Vfs>(c: &mut Compound<'_, V>, args: CloseArgs) -> Result<StateidOk, Status> {
    let file = c.file_or(Status::BadStateId)?;
    let stateid = c.stateid(args.stateid)?;
    let client = c.client()?.clone();
    let gone = client.state().table.closed(&stateid, file.file)?;
    let ctx = c.ctx(&file)?;
    for owner in gone.lock_owners {
        let owner = LockOwner { client: client.vfs, owner };
        if let Err(error) = c.vfs().release_owner(&ctx, ReleaseOwner { file: file.file, owner }).await {
            tracing::warn!(file = %file.file, %error, "locks of a closed file could not be given up");
        }
    }
    for open in gone.opens {
        if let Err(error) = c.vfs().close(&ctx, Close { open }).await {
            tracing::warn!(file = %file.file, %error, "close failed");
        }
    }
    // The stateid that stands for "closed" (RFC 8881 section 18.2.4).
    let closed = Stateid { seqid: u32::MAX, other: [0; 12] };
    c.current_stateid = Some(closed);
    Ok(StateidOk { stateid: closed })
}
