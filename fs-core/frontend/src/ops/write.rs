//! Writing data.

use crate::background::Work;
use crate::nodes::Node;
use crate::propose::answer;
use crate::{Frontend, Shards, Stripes};
use namespace::queries::inode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use types::limits::{FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{AccessMask, FileKind, FsError};
use vfs::{Ctx, Durability, OpenAccess, Write, WriteOffset, WriteReply};

pub(crate) async fn write<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Write,
) -> Result<WriteReply, FsError> {
    if request.data.len() > IO_BYTES_MAX {
        return Err(FsError::Invalid);
    }
    let through_open = match request.open {
        Some(open) if fe.0.opens.of(open, request.file)?.access.write => true,
        Some(_) => return Err(FsError::BadOpen),
        None if fe.0.locks.denies(request.file, OpenAccess { read: false, write: true }) => {
            return Err(FsError::ShareConflict);
        }
        None => false,
    };
    let node = fe.0.nodes.get(request.file);
    make_room(fe, &node, request.data.len() as u64).await?;
    let written = take(fe, ctx, &node, &request, through_open).await;
    let result = match written {
        Ok(offset) => settle(fe, &node, request.durability).await.map(|durability| (offset, durability)),
        Err(error) => Err(error),
    };
    fe.0.nodes.release(node);
    let (offset, durability) = result?;
    Ok(WriteReply { offset, durability, verifier: fe.0.verifier })
}

/// Waits until what is written has room in memory and, later, on the drives.
async fn make_room<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    node: &Arc<Node>,
    bytes: u64,
) -> Result<(), FsError> {
    if fe.0.dirty_bytes.load(Ordering::Relaxed) + bytes > fe.0.options.dirty_bytes_max {
        fe.flush(node).await?;
        if fe.0.dirty_bytes.load(Ordering::Relaxed) + bytes > fe.0.options.dirty_bytes_max {
            fe.flush_all().await?;
        }
    }
    if fe.0.stripes.usage().free < fe.0.dirty_bytes.load(Ordering::Relaxed) + bytes {
        return Err(FsError::NoSpace);
    }
    Ok(())
}

/// Takes the bytes into memory; where they went comes back.
async fn take<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    node: &Arc<Node>,
    request: &Write,
    through_open: bool,
) -> Result<u64, FsError> {
    let _pass = node.gate.read().await;
    let mut state = node.state.lock();
    let inode = fe.inode(request.file)?;
    match inode.kind {
        FileKind::File => {}
        FileKind::Directory => return Err(FsError::IsDirectory),
        FileKind::Symlink => return Err(FsError::IsSymlink),
        _ => return Err(FsError::WrongKind),
    }
    if !through_open {
        answer(inode::require(&ctx.cred, &inode, AccessMask::WRITE))?;
    }
    if inode.links == 0 && state.opens == 0 {
        return Err(FsError::Stale);
    }
    let offset = match request.offset {
        WriteOffset::At(offset) => offset,
        WriteOffset::End => inode.size.max(state.end()),
    };
    let end = offset.checked_add(request.data.len() as u64).filter(|end| *end <= FILE_BYTES_MAX);
    if end.is_none() {
        return Err(FsError::FileTooLarge);
    }
    if request.data.is_empty() {
        return Ok(offset);
    }
    let before = state.dirty.bytes();
    state.dirty.insert(offset, request.data.clone());
    let grown = state.dirty.bytes() - before;
    fe.0.dirty_bytes.fetch_add(grown, Ordering::Relaxed);
    state.dirty.written = Some(fe.0.clock.now());
    let privileged = access_bits(inode.mode.0);
    state.dirty.drop_privileges |= privileged && ctx.cred.uid != 0;
    state.change_seen = state.change_seen.max(inode.change) + 1;
    state.dirty_since.get_or_insert_with(|| fe.0.clock.monotonic());
    Ok(offset)
}

/// Whether setuid or setgid is set.
const fn access_bits(mode: u16) -> bool {
    mode & 0o6000 != 0
}

async fn settle<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    node: &Arc<Node>,
    asked: Durability,
) -> Result<Durability, FsError> {
    if asked != Durability::Unstable {
        fe.flush(node).await?;
        return Ok(Durability::File);
    }
    if node.state.lock().dirty.bytes() >= fe.0.options.dirty_file_bytes {
        fe.later(Work::Flush(node.clone()));
    }
    Ok(Durability::Unstable)
}
