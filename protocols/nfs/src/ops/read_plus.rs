//! READ_PLUS (RFC 7862 section 15.10).

use crate::compound::{Compound, OrStatus};
use crate::state::Need;
use nfs_wire::{DataRun, Hole, IO_BYTES_MAX, ReadPlusArgs, ReadPlusContent, ReadPlusOk, Status};
use types::FsError;
use vfs::{Read, Seek, SeekWhat, Vfs};
use xdr::{List, Opaque};

/// A hole is told as one only when it is at least so long; shorter ones are zeros among the data.
const HOLE_BYTES_MIN: u64 = 4096;

/// The reply is one run, data or a hole; the client asks again for what follows.
pub(super) async fn read_plus<V: Vfs>(
    c: &mut Compound<'_, V>,
    args: ReadPlusArgs,
) -> Result<ReadPlusOk, Status> {
    let file = c.file_or(Status::IsDir)?;
    let open = c.io(args.stateid, file.file, Need::Read)?;
    let ctx = c.ctx(&file)?;
    let length = args.count.min(IO_BYTES_MAX as u32);
    // Reading comes first: it decides on the right to read, and its bytes are true in any case.
    let request = Read { file: file.file, open, offset: args.offset, length };
    let reply = c.vfs().read(&ctx, request).await.or_status()?;
    let end = args.offset + reply.data.len() as u64;
    if reply.data.is_empty() {
        return Ok(ReadPlusOk { eof: reply.end, contents: List::default() });
    }
    if reply.data.iter().all(|byte| *byte == 0) {
        let seek = Seek { file: file.file, offset: args.offset, what: SeekWhat::Data };
        let data = match c.vfs().seek(&ctx, seek).await {
            Ok(found) => found.offset,
            Err(FsError::NothingThere) => end,
            Err(error) => return Err(crate::status::status(error)),
        };
        if data >= end && end - args.offset >= HOLE_BYTES_MIN {
            let hole = Hole { offset: args.offset, length: end - args.offset };
            return Ok(ReadPlusOk { eof: reply.end, contents: List(vec![ReadPlusContent::Hole(hole)]) });
        }
    }
    let run = DataRun { offset: args.offset, data: Opaque(reply.data) };
    Ok(ReadPlusOk { eof: reply.end, contents: List(vec![ReadPlusContent::Data(run)]) })
}
