//! WRITE (RFC 8881 section 18.32).

use crate::compound::{Compound, OrStatus};
use crate::delegations;
use crate::state::Need;
use nfs_wire::{StableHow, Status, WriteArgs, WriteOk};
use types::limits;
use vfs::{Durability, Vfs, Write, WriteOffset};

pub(super) async fn write<V: Vfs>(c: &mut Compound<'_, V>, args: WriteArgs) -> Result<WriteOk, Status> {
    let file = c.file_or(Status::IsDir)?.writable()?;
    let open = c.io(args.stateid, file.file, Need::Write)?;
    let count = args.data.len() as u32;
    if args.offset.saturating_add(u64::from(count)) > limits::FILE_BYTES_MAX {
        return Err(Status::FBig);
    }
    let durability = match args.stable {
        StableHow::Unstable => Durability::Unstable,
        StableHow::DataSync => Durability::Data,
        StableHow::FileSync => Durability::File,
    };
    let request =
        Write { file: file.file, open, offset: WriteOffset::At(args.offset), data: args.data.0, durability };
    let written = c.vfs().write(&c.change(&file, 0)?, request).await;
    if written.is_err() {
        delegations::refused(c, args.stateid);
    }
    let reply = written.or_status()?;
    let committed = match reply.durability {
        Durability::Unstable => StableHow::Unstable,
        Durability::Data => StableHow::DataSync,
        Durability::File => StableHow::FileSync,
    };
    Ok(WriteOk { count, committed, verifier: reply.verifier.0 })
}
