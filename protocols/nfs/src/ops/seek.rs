//! SEEK (RFC 7862 section 15.11).

use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{DataContent, SeekArgs, SeekOk, Status};
use types::FsError;
use vfs::{GetAttr, Seek, SeekWhat, Vfs};

pub(super) async fn seek<V: Vfs>(c: &mut Compound<'_, V>, args: SeekArgs) -> Result<SeekOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    c.io(args.stateid, file.file, Need::Read)?;
    let ctx = c.ctx(&file)?;
    let what = match args.what {
        DataContent::Data => SeekWhat::Data,
        DataContent::Hole => SeekWhat::Hole,
    };
    let found = c.vfs().seek(&ctx, Seek { file: file.file, offset: args.offset, what }).await;
    let size = c.vfs().getattr(&ctx, GetAttr { file: file.file }).await.or_status()?.attr.size;
    match found {
        Ok(found) => Ok(SeekOk { eof: found.offset >= size, offset: found.offset }),
        // No data up to the end is an answer, a place beyond the end is not.
        Err(FsError::NothingThere) if args.offset < size => Ok(SeekOk { eof: true, offset: size }),
        Err(error) => Err(crate::status::status(error)),
    }
}
