//! Making a filesystem.

use crate::inodes::{Step, Work};
use crate::keys;
use crate::outcome::Reply;
use crate::records::{Body, Counters, Directory, Filesystem};
use types::{FileKind, FsError, FsId, Guard, InodeId, Mode, Slot};

const NAME_BYTES_MAX: usize = 255;

/// Makes a filesystem with an empty root that everybody may read, or finds the one of that name.
pub(crate) fn make(work: &mut Work<'_>, name: &str, hash_key: [u8; 16]) -> Step<Reply> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['/', '\0']) {
        return Err(FsError::Invalid.into());
    }
    if let Some(known) = work.read().record::<Filesystem>(&keys::filesystem_name(name))? {
        return Ok(Reply::Filesystem(known.id));
    }
    // The counters of filesystem 0 number the filesystems; 0 itself is the cluster's.
    work.fs = FsId(0);
    let mut counters = work.counters(Slot(0))?;
    counters.inode = counters.inode.saturating_add(1);
    let id = u32::try_from(counters.inode).map(FsId).map_err(|_| FsError::NoSpace)?;
    work.put_counters(Slot(0), &counters);
    let filesystem = Filesystem { id, name: name.to_owned(), hash_key, fold_version: 1 };
    work.put(&keys::filesystem(id), &filesystem);
    work.put(&keys::filesystem_name(name), &filesystem);

    work.fs = id;
    work.put_counters(
        Slot(0),
        &Counters { inode: InodeId::ROOT.sequence(), inodes: 1, ..Counters::default() },
    );
    let body = Body::Directory(Directory {
        parent: InodeId::ROOT,
        depth: 0,
        displaced: 0,
        hash_key,
        guard: Guard::default(),
    });
    let root = work.new_inode(FileKind::Directory, Mode(0o755), (work.cred.uid, work.cred.gid), body);
    work.put_inode(InodeId::ROOT, &root);
    Ok(Reply::Filesystem(id))
}
