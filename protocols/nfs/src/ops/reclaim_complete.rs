//! RECLAIM_COMPLETE (RFC 8881 section 18.51).

use crate::compound::Compound;
use nfs_wire::{ReclaimCompleteArgs, Status};
use vfs::Vfs;

pub(super) fn reclaim_complete<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: ReclaimCompleteArgs,
) -> Result<(), Status> {
    if args.one_fs {
        // Said after a filesystem has moved here, which none does; there is nothing to end.
        c.place()?;
        return Ok(());
    }
    let mut state = c.client()?.state();
    if state.reclaimed {
        return Err(Status::CompleteAlready);
    }
    state.reclaimed = true;
    Ok(())
}
