//! Moving and exchanging names.

use crate::command::Exists;
use crate::commands::retention;
use crate::inodes::{Step, Work, allow};
use crate::keys;
use crate::outcome::{Failure, Removed, Reply};
use crate::records::{Entry, Inode, Record, Renames};
use types::{AccessMask, Cookie, FileKind, FsError, InodeId, Name};

/// Most levels that the walk to the root follows; a deeper tree cannot be made through paths.
const DEPTH_MAX: usize = 65_536;

/// The arguments of a rename, as its command has them.
pub(crate) struct Rename {
    pub(crate) from_dir: InodeId,
    pub(crate) from_name: Name,
    pub(crate) to_dir: InodeId,
    pub(crate) to_name: Name,
    pub(crate) exists: Exists,
    pub(crate) seen: Option<InodeId>,
    pub(crate) keep: bool,
}

/// One side of a rename.
struct Side {
    cookie: Cookie,
    entry: Entry,
    inode: Inode,
}

/// Both directories; one where they are the same.
struct Dirs {
    from_ino: InodeId,
    from: Inode,
    to: Option<(InodeId, Inode)>,
}

impl Dirs {
    fn to(&mut self) -> (InodeId, &mut Inode) {
        match &mut self.to {
            Some((ino, inode)) => (*ino, inode),
            None => (self.from_ino, &mut self.from),
        }
    }
}

/// Moves a name; see renameat2(2) for the rules and the order of errors.
pub(crate) fn rename(work: &mut Work<'_>, args: Rename) -> Step<Reply> {
    let search = AccessMask::EXECUTE;
    let from = work.read().directory(args.from_dir)?;
    allow(&work.cred, &from, search)?;
    let to = if args.from_dir == args.to_dir {
        None
    } else {
        Some((args.to_dir, work.read().directory(args.to_dir)?))
    };
    let mut dirs = Dirs { from_ino: args.from_dir, from, to };
    allow(&work.cred, dirs.to().1, search)?;

    let Some(source) = side(work, args.from_dir, &dirs.from, &args.from_name)? else {
        return Err(FsError::NotFound.into());
    };
    let target = side(work, args.to_dir, dirs.to().1, &args.to_name)?;
    if target.as_ref().map(|t| t.entry.ino) != args.seen {
        return Err(Failure::Moved.into());
    }
    let before = (dirs.from.change, dirs.to().1.change);
    let change = |before, after| crate::outcome::DirChange { before, after };
    let exchanged = target.as_ref().filter(|_| args.exists == Exists::Exchange);
    let moves_directory =
        args.from_dir != args.to_dir && [Some(&source), exchanged].into_iter().flatten().any(is_directory);
    let lease = if moves_directory { Some(Lease::take(work)?) } else { None };
    check_places(work, &args, lease.as_ref(), &source, target.as_ref())?;
    // Two names of one inode: nothing to do, and nothing to have the right to (rename(2)).
    if target.as_ref().is_some_and(|t| t.entry.ino == source.entry.ino) {
        return Ok(Reply::Renamed {
            from: change(before.0, before.0),
            to: change(before.1, before.1),
            moved: Vec::new(),
            removed: None,
        });
    }
    check_rights(work, &args, &mut dirs, &source, target.as_ref())?;
    let exchanged = target.as_ref().filter(|_| args.exists == Exists::Exchange);
    if let Some(lease) = lease {
        lease.used(work);
    }
    let moved = [Some(&source), exchanged].into_iter().flatten().map(|side| side.entry.ino).collect();
    let removed = if args.exists == Exists::Exchange {
        let Some(target) = target else { return Err(FsError::NotFound.into()) };
        exchange(work, &mut dirs, source, target)?;
        None
    } else {
        replace(work, &args, &mut dirs, source, target)?
    };
    work.put_inode(dirs.from_ino, &dirs.from);
    if let Some((ino, inode)) = &dirs.to {
        work.put_inode(*ino, inode);
    }
    Ok(Reply::Renamed {
        from: change(before.0, dirs.from.change),
        to: change(before.1, dirs.to().1.change),
        moved,
        removed,
    })
}

fn side(work: &Work<'_>, dir_ino: InodeId, dir: &Inode, name: &Name) -> Step<Option<Side>> {
    let Some((cookie, entry)) = work.find(dir_ino, dir, name)? else { return Ok(None) };
    let inode = work.read().inode(entry.ino)?;
    Ok(Some(Side { cookie, entry, inode }))
}

fn is_directory(side: &Side) -> bool {
    side.inode.kind == FileKind::Directory
}

/// Whether both names are what `exists` asks for, and no directory would come to stand below itself.
fn check_places(
    work: &Work<'_>,
    args: &Rename,
    lease: Option<&Lease>,
    source: &Side,
    target: Option<&Side>,
) -> Step<()> {
    match (args.exists, target) {
        (Exists::Fail | Exists::Restore, Some(_)) => return Err(FsError::Exists.into()),
        (Exists::Exchange, None) => return Err(FsError::NotFound.into()),
        _ => {}
    }
    let moves = args.from_dir != args.to_dir;
    if moves && is_directory(source) && is_ancestor(work, lease, source.entry.ino, args.to_dir)? {
        return Err(FsError::Invalid.into());
    }
    if let Some(target) = target
        && moves
        && is_directory(target)
        && is_ancestor(work, lease, target.entry.ino, args.from_dir)?
    {
        let error = if args.exists == Exists::Exchange { FsError::Invalid } else { FsError::NotEmpty };
        return Err(error.into());
    }
    Ok(())
}

fn check_rights(
    work: &Work<'_>,
    args: &Rename,
    dirs: &mut Dirs,
    source: &Side,
    target: Option<&Side>,
) -> Step<()> {
    let moves = args.from_dir != args.to_dir;
    work.allow_entries(&dirs.from)?;
    work.allow_removal(&dirs.from, &source.inode)?;
    if args.exists != Exists::Restore || is_directory(source) {
        retention::refuse_move(&source.inode, work.now)?;
    }
    let to = dirs.to().1;
    work.allow_entries(to)?;
    if let Some(target) = target {
        work.allow_removal(to, &target.inode)?;
        retention::refuse_move(&target.inode, work.now)?;
        if args.exists != Exists::Exchange {
            match (is_directory(source), is_directory(target)) {
                (true, false) => return Err(FsError::NotDirectory.into()),
                (false, true) => return Err(FsError::IsDirectory.into()),
                _ => {}
            }
        }
    }
    // A directory that changes its parent changes its own "..".
    let moved = [Some(source), target.filter(|_| args.exists == Exists::Exchange)];
    for side in moved.into_iter().flatten() {
        if moves && is_directory(side) {
            allow(&work.cred, &side.inode, AccessMask::WRITE)?;
        }
    }
    let replaced = target.filter(|_| args.exists != Exists::Exchange);
    if replaced.is_some_and(|target| is_directory(target) && target.inode.size > 0) {
        return Err(FsError::NotEmpty.into());
    }
    Ok(())
}

/// Whether `ancestor` is `below` or stands on its way to the root.
fn is_ancestor(work: &Work<'_>, lease: Option<&Lease>, ancestor: InodeId, below: InodeId) -> Step<bool> {
    let mut at = below;
    for _ in 0..DEPTH_MAX {
        if at == ancestor {
            return Ok(true);
        }
        if at == InodeId::ROOT {
            return Ok(false);
        }
        at = match lease {
            Some(lease) => lease.parent(work, at)?,
            None => work.read().inode(at)?.as_directory()?.parent,
        };
    }
    Err(FsError::Invalid.into())
}

/// The filesystem's lease of renames: directories change their parents one after the other, so that no two of
/// them can put each other below themselves.
struct Lease {
    key: Vec<u8>,
    record: Renames,
}

impl Lease {
    fn take(work: &Work<'_>) -> Step<Lease> {
        let key = keys::renames(work.fs);
        let record = work.read().record(&key)?.unwrap_or_default();
        Ok(Lease { key, record })
    }

    /// The parent of a directory: it changes under the lease only, and while something is in it it stays.
    fn parent(&self, work: &Work<'_>, dir: InodeId) -> Step<InodeId> {
        let inode = work.map.get_under(&keys::inode(work.file(dir)), &self.key)?.ok_or(FsError::Stale)?;
        Ok(Inode::decode(&inode)?.as_directory()?.parent)
    }

    fn used(mut self, work: &mut Work<'_>) {
        self.record.count = self.record.count.saturating_add(1);
        work.put(&self.key, &self.record);
    }
}

fn replace(
    work: &mut Work<'_>,
    args: &Rename,
    dirs: &mut Dirs,
    mut source: Side,
    target: Option<Side>,
) -> Step<Option<Removed>> {
    let removed = match target {
        Some(target) => {
            let (to_ino, to) = dirs.to();
            work.remove_entry(to_ino, to, target.cookie, &target.entry)?;
            Some(work.drop_link(args.from_dir.slot(), target.entry.ino, target.inode, args.keep)?)
        }
        None => None,
    };
    work.remove_entry(dirs.from_ino, &mut dirs.from, source.cookie, &source.entry)?;
    let (to_ino, to) = dirs.to();
    let entry = Entry { name: args.to_name.clone(), ..source.entry.clone() };
    work.add_entry(to_ino, to, entry)?;
    settle(work, &mut source, to_ino)?;
    Ok(removed)
}

fn exchange(work: &mut Work<'_>, dirs: &mut Dirs, mut source: Side, mut target: Side) -> Step<()> {
    work.remove_entry(dirs.from_ino, &mut dirs.from, source.cookie, &source.entry)?;
    let (to_ino, to) = dirs.to();
    work.remove_entry(to_ino, to, target.cookie, &target.entry)?;
    work.add_entry(to_ino, to, Entry { name: target.entry.name.clone(), ..source.entry.clone() })?;
    let back = Entry { name: source.entry.name.clone(), ..target.entry.clone() };
    work.add_entry(dirs.from_ino, &mut dirs.from, back)?;
    settle(work, &mut source, to_ino)?;
    settle(work, &mut target, dirs.from_ino)
}

/// A moved inode: its status changed, and a directory has a new parent.
fn settle(work: &mut Work<'_>, side: &mut Side, parent: InodeId) -> Step<()> {
    if is_directory(side) {
        side.inode.as_directory_mut()?.parent = parent;
    }
    side.inode.touch(work.now);
    work.put_inode(side.entry.ino, &side.inode);
    Ok(())
}
