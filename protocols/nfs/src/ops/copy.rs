//! COPY within this server, done before the reply (RFC 7862 section 15.2).

use crate::compound::{Compound, FileRef, OrStatus};
use crate::state::Need;
use nfs_wire::{CopyArgs, CopyOk, CopyRequirements, StableHow, Stateid, Status, WriteResponse};
use types::{ByteRange, FsError, limits};
use vfs::{CloneRange, Durability, OpenId, Read, Verifier, Vfs, Write, WriteOffset};

/// Bytes that one COPY moves; the client asks again for the rest (section 15.2.3).
const COPY_BYTES_MAX: u64 = 16 << 20;

struct Ends {
    from: FileRef,
    from_open: Option<OpenId>,
    to: FileRef,
    to_open: Option<OpenId>,
}

pub(super) async fn copy<V: Vfs>(c: &mut Compound<'_, V>, args: CopyArgs) -> Result<CopyOk, Status> {
    if !args.source_server.is_empty() {
        return Err(Status::NotSupp);
    }
    let ends = ends(c, &args)?;
    let attr =
        c.vfs().getattr(&c.ctx(&ends.from)?, vfs::GetAttr { file: ends.from.file }).await.or_status()?.attr;
    let asked = if args.count == 0 { u64::MAX } else { args.count };
    if args.count != 0 && args.src_offset.saturating_add(args.count) > attr.size {
        return Err(Status::Inval);
    }
    let count = asked.min(attr.size.saturating_sub(args.src_offset));
    let source = ByteRange::new(args.src_offset, count);
    if args.dst_offset.saturating_add(count) > limits::FILE_BYTES_MAX {
        return Err(Status::FBig);
    }
    if ends.from.file == ends.to.file && source.overlaps(&ByteRange::new(args.dst_offset, count)) {
        return Err(Status::Inval);
    }
    if count > 0 && clone_instead(c, &ends, &args, count).await? {
        let request = vfs::Commit { file: ends.to.file, range: ByteRange::new(args.dst_offset, count) };
        let verifier = c.vfs().commit(&c.ctx(&ends.to)?, request).await.or_status()?.verifier;
        return Ok(reply(count, StableHow::FileSync, verifier));
    }
    copy_bytes(c, &ends, &args, count.min(COPY_BYTES_MAX)).await
}

fn ends<V: Vfs>(c: &Compound<'_, V>, args: &CopyArgs) -> Result<Ends, Status> {
    let from = c.saved_file()?;
    let to = c.writable()?;
    if from.file.fs != to.file.fs {
        return Err(Status::XDev);
    }
    let from_open = match args.src_stateid {
        Stateid::CURRENT => {
            let stateid = c.saved_stateid.ok_or(Status::BadStateId)?;
            c.client()?.state().table.io(&stateid, from.file, Need::Read)?
        }
        stateid => c.io(stateid, from.file, Need::Read)?,
    };
    let to_open = c.io(args.dst_stateid, to.file, Need::Write)?;
    Ok(Ends { from, from_open, to, to_open })
}

/// Shares the bytes when their place allows it.
async fn clone_instead<V: Vfs>(
    c: &Compound<'_, V>,
    ends: &Ends,
    args: &CopyArgs,
    count: u64,
) -> Result<bool, Status> {
    let block = limits::BLOCK_BYTES as u64;
    let aligned = [args.src_offset, args.dst_offset, count].iter().all(|n| n.is_multiple_of(block));
    if !aligned {
        return Ok(false);
    }
    let request = CloneRange {
        from: ends.from.file,
        from_open: ends.from_open,
        from_offset: args.src_offset,
        to: ends.to.file,
        to_open: ends.to_open,
        to_offset: args.dst_offset,
        length: count,
    };
    match c.vfs().clone_range(&c.change(&ends.to, 0)?, request).await {
        Ok(()) => Ok(true),
        Err(FsError::NotSupported | FsError::Invalid) => Ok(false),
        Err(error) => Err(crate::status::status(error)),
    }
}

async fn copy_bytes<V: Vfs>(
    c: &Compound<'_, V>,
    ends: &Ends,
    args: &CopyArgs,
    count: u64,
) -> Result<CopyOk, Status> {
    // Writing the same bytes twice does no harm, so the pieces need no identity of their own.
    let ctx = c.ctx(&ends.to)?;
    let mut done: u64 = 0;
    let mut verifier: Option<Verifier> = None;
    while done < count {
        let length = (count - done).min(limits::IO_BYTES_MAX as u64) as u32;
        let offset = args.src_offset + done;
        let read = Read { file: ends.from.file, open: ends.from_open, offset, length };
        let data = c.vfs().read(&ctx, read).await.or_status()?.data;
        if data.is_empty() {
            break;
        }
        let length = data.len() as u64;
        let offset = WriteOffset::At(args.dst_offset + done);
        let durability = Durability::Unstable;
        let write = Write { file: ends.to.file, open: ends.to_open, offset, data, durability };
        let written = c.vfs().write(&ctx, write).await.or_status()?;
        done += length;
        if *verifier.get_or_insert(written.verifier) != written.verifier {
            // What was written before may be lost: the client has to begin again.
            return Err(Status::Delay);
        }
    }
    let verifier = match verifier {
        Some(verifier) => verifier,
        None => {
            let request = vfs::Commit { file: ends.to.file, range: ByteRange::new(args.dst_offset, 1) };
            c.vfs().commit(&ctx, request).await.or_status()?.verifier
        }
    };
    Ok(reply(done, StableHow::Unstable, verifier))
}

fn reply(count: u64, committed: StableHow, verifier: Verifier) -> CopyOk {
    CopyOk {
        response: WriteResponse { callback_id: xdr::List::default(), count, committed, verifier: verifier.0 },
        requirements: CopyRequirements { consecutive: true, synchronous: true },
    }
}
