//! LOCKU (RFC 8881 section 18.12).

use super::lock::range;
use crate::compound::{Compound, OrStatus};
use nfs_wire::{LockuArgs, StateidOk, Status};
use vfs::{Lock, LockKind, LockOwner, LockSpace, Vfs};

pub(super) async fn locku<V: Vfs>(c: &mut Compound<'_, V>, args: LockuArgs) -> Result<StateidOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    let range = range(args.offset, args.length)?;
    let stateid = c.stateid(args.stateid)?;
    let client = c.client()?.clone();
    let owner = client.state().table.lock_state(&stateid, file.file)?.owner;
    let request = Lock {
        file: file.file,
        open: None,
        owner: LockOwner { client: client.vfs, owner },
        space: LockSpace::Range,
        range,
        kind: LockKind::Unlock,
        wait: false,
        reclaim: false,
    };
    c.vfs().lock(&c.change(&file, 0)?, request).await.or_status()?;
    let stateid = client.state().table.locked(&stateid, range, false)?;
    c.current_stateid = Some(stateid);
    Ok(StateidOk { stateid })
}
