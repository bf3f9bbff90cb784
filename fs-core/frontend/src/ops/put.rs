//! Giving a name to a whole file.

use super::remove::Victim;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::directory;
use namespace::queries::inode::attr_of;
use namespace::{Action, Failure, Reply};
use types::{FileId, FsError};
use vfs::{Ctx, Put, PutIf, PutReply, PutSource};

pub(crate) async fn put<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Put,
) -> Result<PutReply, FsError> {
    let Put { dir, name, source, values, only, keep, retention } = request;
    let mut staged = None;
    let source = match source {
        PutSource::Content { data, mode } => namespace::PutSource::Content { data, mode },
        PutSource::Staged(file) if file.fs != dir.fs => return Err(FsError::CrossFilesystem),
        PutSource::Staged(file) => {
            staged = Some(fe.0.nodes.get(file));
            namespace::PutSource::Staged(file.ino)
        }
    };
    if keep.as_ref().is_some_and(|(keep, _)| keep.fs != dir.fs) {
        return Err(FsError::CrossFilesystem);
    }
    let aside = keep.map(|(dir, name)| (dir.ino, name));
    let (condition, of) = match only {
        PutIf::Any => (namespace::PutIf::Any, None),
        PutIf::Absent => (namespace::PutIf::Absent, None),
        PutIf::Is { file, content } => (namespace::PutIf::Is { ino: file.ino, content }, Some(file)),
    };
    // All that was written to it is in the map, and stays what it is, when it gets its name.
    let _still = match &staged {
        Some(node) => {
            let gate = node.gate.write().await;
            let flushing = node.flushing.lock().await;
            fe.flush_held(node).await?;
            Some((gate, flushing))
        }
        None => None,
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
        let victim = Victim::hold(fe, seen.as_ref()).await;
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
                if let Some(node) = &staged {
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
