//! Making an inode and its first name.

use crate::command::{Create, Exists, NodeSpec};
use crate::commands::setattr;
use crate::inodes::{Step, Work, allow};
use crate::outcome::{DirChange, Reply};
use crate::records::{Body, Directory, Entry, File, Inode};
use types::limits::SYMLINK_BYTES_MAX;
use types::{AccessMask, Device, FileKind, FsError, Guard, InodeId, Mode, SetAttr, Slot};

/// Levels below the root over which new directories spread; deeper ones stay with their parent.
const SPREAD_DEPTH: u16 = 2;

/// Makes the inode, or takes the one that stands there when `exists` and the verifier allow it.
pub(crate) fn create(work: &mut Work<'_>, create: Create) -> Step<Reply> {
    if let NodeSpec::Symlink(target) = &create.node {
        check_target(target)?;
    }
    let mut dir = work.read().directory(create.dir)?;
    allow(&work.cred, &dir, AccessMask::EXECUTE)?;
    if let Some((_, entry)) = work.find(create.dir, &dir, &create.name)? {
        return found(work, &create, &dir, &entry);
    }
    work.allow_entries(&dir)?;
    let (kind, device, body) = node(work, &create.node, &dir, create.dir)?;
    let slot = slot_of(&create, kind, dir.as_directory()?);
    let (gid, mode) = access::inherit(&work.cred, dir.gid, dir.mode, kind, Mode(create.mode.0 & 0o7777));
    let ino = work.new_inode_id(slot)?;
    let mode = if kind == FileKind::Symlink { Mode(0o777) } else { mode };
    let mut inode = Inode { device, ..work.new_inode(kind, mode, (work.cred.uid, gid), body) };
    if let Body::File(file) = &mut inode.body {
        file.verifier = create.verifier;
    }
    first_attributes(work, &mut inode, &create.set)?;
    let change = work.add_entry(create.dir, &mut dir, Entry { name: create.name, ino, kind })?;
    work.put_inode(create.dir, &dir);
    work.put_inode(ino, &inode);
    let attr = work.read().attr(ino, &inode);
    Ok(Reply::Created { attr, dir: change, created: true })
}

fn found(work: &Work<'_>, create: &Create, dir: &Inode, entry: &Entry) -> Step<Reply> {
    let inode = work.read().inode(entry.ino)?;
    // The answer allows what the maker may; nobody else can have sent the first try.
    let same_verifier = match (&inode.body, create.verifier) {
        (Body::File(file), Some(verifier)) => {
            file.verifier == Some(verifier) && access::owns(&work.cred, inode.uid)
        }
        _ => false,
    };
    let accept = match create.verifier {
        Some(_) => same_verifier,
        None => create.exists == Exists::Accept,
    };
    if !accept {
        return Err(FsError::Exists.into());
    }
    let attr = work.read().attr(entry.ino, &inode);
    Ok(Reply::Created {
        attr,
        dir: DirChange { before: dir.change, after: dir.change },
        created: same_verifier,
    })
}

/// A target that can be stored (symlink(2)).
fn check_target(target: &[u8]) -> Step<()> {
    match target.len() {
        0 => Err(FsError::NotFound.into()),
        n if n > SYMLINK_BYTES_MAX => Err(FsError::NameTooLong.into()),
        _ if target.contains(&0) => Err(FsError::Invalid.into()),
        _ => Ok(()),
    }
}

fn node(work: &Work<'_>, node: &NodeSpec, dir: &Inode, dir_ino: InodeId) -> Step<(FileKind, Device, Body)> {
    let none = Device::default();
    Ok(match node {
        NodeSpec::File => {
            (FileKind::File, none, Body::File(File { inline: Some(Default::default()), ..File::default() }))
        }
        NodeSpec::Directory => {
            if dir.links >= u32::MAX - 1 {
                return Err(FsError::TooManyLinks.into());
            }
            let &Directory { depth, hash_key, .. } = dir.as_directory()?;
            let depth = depth.saturating_add(1);
            let body = Directory { parent: dir_ino, depth, displaced: 0, hash_key, guard: Guard::default() };
            (FileKind::Directory, none, Body::Directory(body))
        }
        NodeSpec::Symlink(target) => (FileKind::Symlink, none, Body::Symlink(target.clone())),
        NodeSpec::Fifo => (FileKind::Fifo, none, Body::None),
        NodeSpec::Socket => (FileKind::Socket, none, Body::None),
        NodeSpec::CharDevice(_) | NodeSpec::BlockDevice(_) if work.cred.uid != 0 => {
            return Err(FsError::NotPermitted.into());
        }
        NodeSpec::CharDevice(device) => (FileKind::CharDevice, *device, Body::None),
        NodeSpec::BlockDevice(device) => (FileKind::BlockDevice, *device, Body::None),
    })
}

/// A file lives in the slot of its entry; a directory near the root in a slot of its own.
fn slot_of(create: &Create, kind: FileKind, parent: &Directory) -> Slot {
    if kind != FileKind::Directory || parent.depth >= SPREAD_DEPTH {
        return create.dir.slot();
    }
    let cookie = crate::cookie::natural(&parent.hash_key, &create.name).0;
    let spread = (cookie ^ create.dir.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    Slot(spread as u16)
}

/// Attributes that a create carries are the maker's own choice, within what it could change afterwards.
fn first_attributes(work: &Work<'_>, inode: &mut Inode, set: &SetAttr) -> Step<()> {
    // A symbolic link has no mode of its own.
    let mode = set.mode.filter(|_| inode.kind != FileKind::Symlink);
    let set = SetAttr { mode, ..set.clone() };
    setattr::check(&work.cred, inode, &set, false)?;
    inode.size = set.size.unwrap_or(inode.size);
    setattr::assign(&work.cred, inode, &set, work.now);
    Ok(())
}
