//! DESTROY_SESSION (RFC 8881 section 18.37).

use crate::compound::Compound;
use nfs_wire::{DestroySessionArgs, Status};
use vfs::Vfs;

pub(super) async fn destroy_session<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: DestroySessionArgs,
) -> Result<(), Status> {
    let own = c.slot.as_ref().is_some_and(|slot| slot.session.id == args.session);
    if own && !c.is_last {
        return Err(Status::NotOnlyOp);
    }
    let session = c.shared.clients.destroy_session(&args.session)?;
    c.shared.forget_session(&session).await;
    Ok(())
}
