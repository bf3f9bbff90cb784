//! DEALLOCATE (RFC 7862 section 15.4).

use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{AllocateArgs, Status};
use types::ByteRange;
use vfs::{Allocate, AllocateHow, Vfs};

pub(super) async fn deallocate<V: Vfs>(c: &mut Compound<'_, V>, args: AllocateArgs) -> Result<(), Status> {
    let file = c.writable()?;
    let open = c.io(args.stateid, file.file, Need::Write)?;
    if args.length == 0 || args.offset.checked_add(args.length).is_none() {
        return Err(Status::Inval);
    }
    let range = ByteRange::new(args.offset, args.length);
    let request = Allocate { file: file.file, open, range, how: AllocateHow::Punch };
    c.vfs().allocate(&c.change(&file, 0)?, request).await.or_status()
}
