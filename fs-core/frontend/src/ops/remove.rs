//! Removing names: unlink and rmdir.

use super::create::change;
use crate::background::Work;
use crate::flush::NO_INODE;
use crate::nodes::Held;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::directory;
use namespace::queries::inode::attr_of;
use namespace::{Action, Failure, Removed, Reply};
use types::{Attr, FileId, FileKind, FsError, Name};
use vfs::{Ctx, RemoveReply, Rmdir, Unlink};

pub(crate) async fn unlink<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Unlink,
) -> Result<RemoveReply, FsError> {
    remove(fe, ctx, request.dir, request.name, false).await
}

pub(crate) async fn rmdir<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Rmdir,
) -> Result<RemoveReply, FsError> {
    remove(fe, ctx, request.dir, request.name, true).await
}

async fn remove<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    dir: FileId,
    name: Name,
    directory: bool,
) -> Result<RemoveReply, FsError> {
    for _ in 0..TRIES {
        // A retry of what has taken effect finds nothing here, and its first reply in the shard.
        let look = || fe.look(|map| directory::lookup(map, &ctx.cred, dir, &name));
        let seen = match fe.unlocked(look).await {
            Ok((ino, inode)) => Some(attr_of(FileId { ino, ..dir }, &inode)),
            Err(FsError::NotFound) if ctx.request.is_some() => None,
            Err(_) if ctx.again => None,
            Err(error) => return Err(error),
        };
        let victim = Victim::hold(fe, (dir, &name), seen.as_ref()).await;
        let (ino, keep) = (seen.as_ref().map_or(NO_INODE, |attr| attr.file.ino), victim.keeps(fe));
        let action = Action::Remove { dir: dir.ino, name: name.clone(), directory, seen: ino, keep };
        match fe.outcome(ctx, dir.fs, action).await? {
            Ok(Reply::Removed { dir, removed }) => {
                victim.gone(fe, &removed).await;
                return Ok(RemoveReply { dir: change(dir), gone: gone_directory(seen, &removed) });
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Failure::Moved) => {}
            Err(Failure::Fs(error)) => return Err(error),
            Err(_) => return Err(FsError::Delay),
        }
    }
    Err(FsError::Delay)
}

/// The directory that was seen, when it is gone.
pub(crate) fn gone_directory(seen: Option<Attr>, removed: &Removed) -> Option<Attr> {
    let gone = seen.filter(|attr| attr.file == removed.file && attr.kind == FileKind::Directory)?;
    Some(Attr { links: 0, ..gone })
}

/// An inode that is about to lose a name: nobody opens it meanwhile.
pub(crate) struct Victim(Option<(tokio::sync::OwnedRwLockWriteGuard<()>, Held)>);

impl Victim {
    pub(crate) async fn hold<S: Shards, D: Stripes>(
        fe: &Frontend<S, D>,
        (dir, name): (FileId, &Name),
        seen: Option<&Attr>,
    ) -> Victim {
        match seen {
            Some(attr) if attr.kind == FileKind::File => {
                fe.0.making.settled(dir, name).await;
                let node = fe.0.nodes.get(attr.file);
                let guard = node.gate.clone().write_owned().await;
                Victim(Some((guard, node)))
            }
            _ => Victim(None),
        }
    }

    /// Whether it lives on without a name: somebody has it open, or may claim it.
    pub(crate) fn keeps<S: Shards, D: Stripes>(&self, fe: &Frontend<S, D>) -> bool {
        let open = |node: &Held| node.state.lock().opens > 0;
        self.0.as_ref().is_some_and(|(_, node)| open(node) || fe.0.clients.keep_orphans())
    }

    /// The command took effect.
    pub(crate) async fn gone<S: Shards, D: Stripes>(self, fe: &Frontend<S, D>, removed: &Removed) {
        if removed.drain {
            fe.later(Work::Drain(removed.file));
        }
        if removed.links > 0 {
            fe.note_change(removed.file);
        } else if !removed.kept {
            fe.0.locks.forget(removed.file);
        }
        let Some((_guard, node)) = self.0.filter(|(_, node)| node.file == removed.file) else { return };
        if removed.links > 0 {
            return;
        }
        if !removed.kept {
            return fe.discard(&node);
        }
        if fe.0.clients.keep_orphans() {
            // Found at the end of the time of grace: until then it need not be known here.
            node.state.lock().note_change();
            return;
        }
        let open = {
            let mut state = node.state.lock();
            state.orphan = true;
            state.note_change();
            state.opens > 0
        };
        // The last close may have come between the command and this.
        if !open {
            fe.drop_orphan_held(&node).await;
        }
    }
}
