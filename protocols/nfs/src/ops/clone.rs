//! CLONE (RFC 7862 section 15.13).

use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{CloneArgs, Status};
use vfs::{CloneRange, Vfs};

pub(super) async fn clone<V: Vfs>(c: &mut Compound<'_, V>, args: CloneArgs) -> Result<(), Status> {
    let from = c.saved_file()?;
    let to = c.writable()?;
    if from.file.fs != to.file.fs {
        return Err(Status::XDev);
    }
    let from_open = match args.src_stateid {
        nfs_wire::Stateid::CURRENT => {
            let stateid = c.saved_stateid.ok_or(Status::BadStateId)?;
            c.client()?.state().table.io(&stateid, from.file, Need::Read)?
        }
        stateid => c.io(stateid, from.file, Need::Read)?,
    };
    let to_open = c.io(args.dst_stateid, to.file, Need::Write)?;
    let request = CloneRange {
        from: from.file,
        from_open,
        from_offset: args.src_offset,
        to: to.file,
        to_open,
        to_offset: args.dst_offset,
        length: args.count,
    };
    c.vfs().clone_range(&c.change(&to, 0)?, request).await.or_status()
}
