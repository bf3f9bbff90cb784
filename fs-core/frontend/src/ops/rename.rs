//! Moving and exchanging names.

use super::create::change;
use super::remove::{Victim, gone_directory};
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, Shards, Stripes};
use namespace::queries::directory;
use namespace::queries::inode::attr_of;
use namespace::{Action, Exists, Failure, Reply};
use types::{FileId, FsError};
use vfs::{Ctx, Rename, RenameHow, RenameReply};

pub(crate) async fn rename<S: Shards, D: Stripes>(
    fe: &Frontend<S, D>,
    ctx: &Ctx,
    request: Rename,
) -> Result<RenameReply, FsError> {
    let Rename { from_dir, from_name, to_dir, to_name, how } = request;
    if from_dir.fs != to_dir.fs {
        return Err(FsError::CrossFilesystem);
    }
    let exists = match how {
        RenameHow::Replace => Exists::Accept,
        RenameHow::NoReplace => Exists::Fail,
        RenameHow::Exchange => Exists::Exchange,
        RenameHow::Restore => Exists::Restore,
    };
    // Under another name, too, it is nobody's yet.
    fe.0.making.settled(from_dir, &from_name).await;
    if how == RenameHow::Exchange {
        fe.0.making.settled(to_dir, &to_name).await;
    }
    for _ in 0..TRIES {
        // Errors of the look are those of the command too, which finds them in their right order.
        let look = || fe.look(|map| directory::lookup(map, &ctx.cred, to_dir, &to_name));
        let seen = fe.unlocked(look).await.ok();
        let seen = seen.map(|(ino, inode)| attr_of(FileId { ino, ..to_dir }, &inode));
        let replaced = seen.as_ref().filter(|_| how == RenameHow::Replace);
        let victim = Victim::hold(fe, (to_dir, &to_name), replaced).await;
        let action = Action::Rename {
            from_dir: from_dir.ino,
            from_name: from_name.clone(),
            to_dir: to_dir.ino,
            to_name: to_name.clone(),
            exists,
            seen: seen.as_ref().map(|attr| attr.file.ino),
            keep: victim.keeps(fe),
        };
        match fe.outcome(ctx, from_dir.fs, action).await? {
            Ok(Reply::Renamed { from, to, moved, removed }) => {
                for ino in moved {
                    fe.note_change(FileId { ino, ..from_dir });
                }
                let mut gone = None;
                if let Some(removed) = removed {
                    victim.gone(fe, &removed).await;
                    gone = gone_directory(seen, &removed);
                }
                return Ok(RenameReply { from_dir: change(from), to_dir: change(to), gone });
            }
            Ok(reply) => return Err(unexpected(&reply)),
            Err(Failure::Moved) => {}
            Err(Failure::Fs(error)) => return Err(error),
            Err(_) => return Err(FsError::Delay),
        }
    }
    Err(FsError::Delay)
}
