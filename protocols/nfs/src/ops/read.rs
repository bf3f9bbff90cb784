//! READ (RFC 8881 section 18.22).

use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{IO_BYTES_MAX, ReadArgs, ReadOk, Status};
use vfs::{Read, Vfs};
use xdr::Opaque;

pub(super) async fn read<V: Vfs>(c: &mut Compound<'_, V>, args: ReadArgs) -> Result<ReadOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    let open = c.io(args.stateid, file.file, Need::Read)?;
    let length = args.count.min(IO_BYTES_MAX as u32);
    let request = Read { file: file.file, open, offset: args.offset, length };
    let reply = c.vfs().read(&c.ctx(&file)?, request).await.or_status()?;
    Ok(ReadOk { eof: reply.end, data: Opaque(reply.data) })
}
