//! Giving a name to a whole file.

use super::close::close_open;
use super::remove::Victim;
use super::stage;
use crate::nodes::Held;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use bytes::Bytes;
use namespace::queries::directory;
use namespace::queries::inode::attr_of;
use namespace::{Action, Failure, Reply};
use types::limits::{INLINE_FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{FileId, FsError, Mode};
use vfs::{Ctx, Durability, OpenReply, Put, PutIf, PutReply, PutSource, Stage, Write, WriteOffset};

pub(crate) async fn put<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
) -> Result<PutReply, FsError> {
    if request.keep.as_ref().is_some_and(|(keep, _)| keep.fs != request.dir.fs) {
        return Err(FsError::CrossFilesystem);
    }
    match request.source.clone() {
        PutSource::Staged(file) => put_staged(fe, ctx, request, file).await,
        PutSource::Content { data, mode } if data.len() <= INLINE_FILE_BYTES_MAX => {
            let source = namespace::PutSource::Content { data, mode };
            put_source(fe, ctx, request, source, None).await
        }
        PutSource::Content { data, mode } => put_content(fe, ctx, request, data, mode).await,
    }
}

async fn put_staged<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
    file: FileId,
) -> Result<PutReply, FsError> {
    if file.fs != request.dir.fs {
        return Err(FsError::CrossFilesystem);
    }
    let node = fe.0.nodes.get(file);
    // All that was written to it is in the map, and stays what it is, when it gets its name.
    let _gate = node.gate.write().await;
    let _flushing = node.flushing.lock().await;
    fe.flush_held(&node).await?;
    put_source(fe, ctx, request, namespace::PutSource::Staged(file.ino), Some(&node)).await
}

/// Makes content durable that is too long for an inode, and then puts it in one command.
async fn put_content<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
    data: Bytes,
    mode: Mode,
) -> Result<PutReply, FsError> {
    if data.len() > IO_BYTES_MAX {
        return Err(FsError::Invalid);
    }
    let Some(whole) = fe.lay_out(request.dir, data.clone()).await? else {
        return put_in_steps(fe, ctx, request, data, mode).await;
    };
    let put = put_source(fe, ctx, request, whole.source(mode), None).await;
    match &put {
        Ok(_) => fe.laid_down(&whole),
        // It may yet take effect: its stripes must stay.
        Err(FsError::Delay | FsError::Uncertain) => {}
        Err(_) => fe.take_up(&whole).await,
    }
    put
}

/// As [`put_content`], where free space is in such small pieces that one command does not bring them all.
async fn put_in_steps<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
    data: Bytes,
    mode: Mode,
) -> Result<PutReply, FsError> {
    let OpenReply { open, attr, .. } = stage(fe, ctx, Stage { near: request.dir, mode }).await?;
    let (file, offset) = (attr.file, WriteOffset::At(0));
    let write = Write { file, open: Some(open), offset, data, durability: Durability::Unstable };
    let put = match super::write(fe, ctx, write).await {
        Ok(_) => put_staged(fe, ctx, request, file).await,
        Err(error) => Err(error),
    };
    close_open(fe, open).await?;
    put
}

async fn put_source<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
    source: namespace::PutSource,
    staged: Option<&Held>,
) -> Result<PutReply, FsError> {
    let Put { dir, name, values, only, keep, retention, .. } = request;
    let aside = keep.map(|(dir, name)| (dir.ino, name));
    let (condition, of) = match only {
        PutIf::Any => (namespace::PutIf::Any, None),
        PutIf::Absent => (namespace::PutIf::Absent, None),
        PutIf::Is { file, content } => (namespace::PutIf::Is { ino: file.ino, content }, Some(file)),
    };
    for _ in 0..TRIES {
        // Errors of the look are those of the command too.
        let look = || fe.look_far(|map| directory::lookup(map, &ctx.cred, dir, &name));
        let seen = fe.unlocked(look).await.ok();
        let seen = seen.map(|(ino, inode)| attr_of(FileId { ino, ..dir }, &inode));
        // What waits to be written to the file in question is of its content.
        if let Some(node) = of.and_then(|file| fe.0.nodes.find(file)) {
            fe.flush(&node).await?;
        }
        let victim = Victim::hold(fe, (dir, &name), seen.as_ref()).await;
        let action = Action::Put(namespace::Put {
            dir: dir.ino,
            name: name.clone(),
            source: source.clone(),
            values: values.clone(),
            only: condition,
            seen: seen.as_ref().map(|attr| attr.file.ino),
            keep: victim.keeps(fe),
            aside: aside.clone(),
            retention,
        });
        match fe.outcome(ctx, dir.fs, action).await? {
            Ok(Reply::Put { attr, removed }) => {
                if let Some(node) = staged {
                    let mut state = node.state.lock();
                    state.orphan = false;
                    state.note_change();
                }
                match removed {
                    Some(removed) => victim.gone(fe, &removed).await,
                    None => seen.iter().for_each(|attr| fe.note_change(attr.file)),
                }
                return Ok(PutReply { attr: fe.laid_over(attr) });
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Failure::Moved) => {}
            Err(Failure::Fs(error)) => return Err(error),
            Err(_) => return Err(FsError::Delay),
        }
    }
    Err(FsError::Delay)
}
