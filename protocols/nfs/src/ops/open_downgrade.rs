//! OPEN_DOWNGRADE (RFC 8881 section 18.18).

use super::open::share;
use crate::compound::{Compound, OrStatus};
use crate::state::Opened;
use nfs_wire::{OpenDowngradeArgs, StateidOk, Status};
use vfs::{Close, Reopen, Vfs};

pub(super) async fn open_downgrade<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: OpenDowngradeArgs,
) -> Result<StateidOk, Status> {
    let file = c.file_or(Status::BadStateId)?;
    let access =
        share(args.share_access).filter(|access| access.read || access.write).ok_or(Status::Inval)?;
    let deny = share(args.share_deny).ok_or(Status::Inval)?;
    let stateid = c.stateid(args.stateid)?;
    let client = c.client()?.clone();
    let (opens, had, denied) = client.state().table.open_state(&stateid, file.file)?;
    let more = access.read && !had.read || access.write && !had.write;
    let denies_more = deny.read && !denied.read || deny.write && !denied.write;
    if more || denies_more {
        return Err(Status::Inval);
    }
    let Some((kept, others)) = opens.split_first() else { return Err(Status::BadStateId) };
    // The others go first: what they deny would stand against the one that is kept.
    let ctx = c.ctx(&file)?;
    for open in others {
        c.vfs().close(&ctx, Close { open: open.id }).await.or_status()?;
    }
    c.vfs().reopen(&ctx, Reopen { open: kept.id, access, deny }).await.or_status()?;
    let kept = Opened { id: kept.id, access, deny };
    let stateid = client.state().table.downgraded(&stateid, kept)?;
    c.current_stateid = Some(stateid);
    Ok(StateidOk { stateid })
}
