//! IO_ADVISE (RFC 7862 section 15.5).

use crate::compound::Compound;
use crate::state::Need;
use nfs_wire::{Bitmap, IoAdviseArgs, IoAdviseOk, Status};
use vfs::Vfs;

/// No hint is followed, and the reply says so.
pub(super) fn io_advise<V: Vfs>(c: &mut Compound<'_, V>, args: IoAdviseArgs) -> Result<IoAdviseOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    c.io(args.stateid, file.file, Need::Read)?;
    Ok(IoAdviseOk { hints: Bitmap::default() })
}
