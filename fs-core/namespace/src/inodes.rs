//! What commands and queries share: typed access to the records of one filesystem.

use crate::accounts::Accounts;
use crate::commands::system;
use crate::cookie::natural;
use crate::extents::less;
use crate::outcome::{DirChange, Failure, Removed, Reply};
use crate::records::{Body, Counters, Directory, Entry, EntryName, File, Inode, Intent, Orphan, Record};
use crate::{commands, keys};
use map::{MapError, OrderedMap, OrderedMapMut};
use types::{
    AccessMask, Attr, Cookie, Cred, Device, FileId, FileKind, FsError, FsId, InodeId, Mode, Name, Slot, Time,
};

/// Why a command or query ends early.
pub(crate) enum Stop {
    /// With an answer for the proposer.
    Fail(Failure),
    /// Because the map is broken.
    Map(MapError),
}

impl From<MapError> for Stop {
    fn from(error: MapError) -> Stop {
        Stop::Map(error)
    }
}

impl From<FsError> for Stop {
    fn from(error: FsError) -> Stop {
        Stop::Fail(Failure::Fs(error))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fail(failure)
    }
}

pub(crate) type Step<T> = Result<T, Stop>;

/// Reads records of one filesystem.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) map: &'a dyn OrderedMap,
    pub(crate) fs: FsId,
}

impl<'a> Reader<'a> {
    pub(crate) fn file(&self, ino: InodeId) -> FileId {
        FileId { fs: self.fs, ino }
    }

    pub(crate) fn record<R: Record>(&self, key: &[u8]) -> Result<Option<R>, MapError> {
        self.map.get(key)?.map(|value| R::decode(&value)).transpose()
    }

    /// The inode, or [`FsError::Stale`]: also where it has neither a name nor an open, and only waits to be
    /// removed in steps.
    pub(crate) fn inode(&self, ino: InodeId) -> Step<Inode> {
        let file = self.file(ino);
        let inode: Inode = self.record(&keys::inode(file))?.ok_or(FsError::Stale)?;
        if inode.links == 0 && self.map.get(&keys::orphan(file))?.is_none() {
            return Err(FsError::Stale.into());
        }
        Ok(inode)
    }

    /// The inode of a directory, or [`FsError::NotDirectory`].
    pub(crate) fn directory(&self, ino: InodeId) -> Step<Inode> {
        let inode = self.inode(ino)?;
        inode.as_directory()?;
        Ok(inode)
    }

    /// Where `name` stands in `dir`; nowhere, where it is that of the system directory.
    pub(crate) fn entry(&self, dir: InodeId, body: &Directory, name: &Name) -> Step<Option<(Cookie, Entry)>> {
        if system::is_hidden(dir, name) { Ok(None) } else { self.entry_of_any(dir, body, name) }
    }

    /// Where `name` stands in `dir`, also where it is hidden.
    pub(crate) fn entry_of_any(
        &self,
        dir: InodeId,
        body: &Directory,
        name: &Name,
    ) -> Step<Option<(Cookie, Entry)>> {
        let dir = self.file(dir);
        let cookie = natural(&body.hash_key, name);
        match self.record::<Entry>(&keys::entry(dir, cookie))? {
            Some(entry) if entry.name == *name => return Ok(Some((cookie, entry))),
            _ if body.displaced == 0 => return Ok(None),
            _ => {}
        }
        for is_directory in [false, true] {
            if let Some(found) = self.record::<EntryName>(&keys::entry_name(dir, name, is_directory))? {
                let entry = Entry { name: name.clone(), ino: found.ino, kind: found.kind };
                return Ok(Some((found.cookie, entry)));
            }
        }
        Ok(None)
    }

    pub(crate) fn attr(&self, ino: InodeId, inode: &Inode) -> Attr {
        attr(self.file(ino), inode)
    }
}

/// What the inode says of itself.
pub(crate) fn attr(file: FileId, inode: &Inode) -> Attr {
    Attr {
        file,
        kind: inode.kind,
        mode: inode.mode,
        links: inode.links,
        uid: inode.uid,
        gid: inode.gid,
        device: inode.device,
        size: inode.size,
        used: inode.used,
        atime: inode.atime,
        mtime: inode.mtime,
        ctime: inode.ctime,
        btime: inode.btime,
        change: inode.change,
        content: inode.content,
    }
}

/// The caller's right to `mask`, or [`FsError::AccessDenied`].
pub(crate) fn allow(cred: &Cred, inode: &Inode, mask: AccessMask) -> Step<()> {
    if access::allowed(cred, inode.uid, inode.gid, inode.mode, inode.kind, mask) {
        Ok(())
    } else {
        Err(FsError::AccessDenied.into())
    }
}

impl Inode {
    pub(crate) fn as_directory(&self) -> Step<&Directory> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory.into()),
        }
    }

    pub(crate) fn as_directory_mut(&mut self) -> Step<&mut Directory> {
        match &mut self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory.into()),
        }
    }

    pub(crate) fn as_file(&self) -> Step<&File> {
        match (&self.body, self.kind) {
            (Body::File(file), _) => Ok(file),
            (_, FileKind::Directory) => Err(FsError::IsDirectory.into()),
            (_, FileKind::Symlink) => Err(FsError::IsSymlink.into()),
            _ => Err(FsError::WrongKind.into()),
        }
    }

    pub(crate) fn as_file_mut(&mut self) -> Step<&mut File> {
        self.as_file()?;
        match &mut self.body {
            Body::File(file) => Ok(file),
            _ => Err(FsError::WrongKind.into()),
        }
    }

    /// Something of the inode changed.
    pub(crate) fn touch(&mut self, now: Time) {
        self.ctime = now;
        self.change = self.change.saturating_add(1);
    }

    /// The content of a file changed, by what [`Self::touch`] or [`Self::modify`] has counted.
    pub(crate) fn mark_content(&mut self) {
        self.content = self.change;
    }

    /// Content or entries changed.
    pub(crate) fn modify(&mut self, now: Time) -> DirChange {
        let before = self.change;
        self.mtime = now;
        self.touch(now);
        DirChange { before, after: self.change }
    }
}

/// Changes records of one filesystem on somebody's behalf.
pub(crate) struct Work<'a> {
    pub(crate) map: &'a mut dyn OrderedMapMut,
    pub(crate) fs: FsId,
    pub(crate) now: Time,
    pub(crate) cred: Cred,
    pub(crate) accounts: Accounts,
}

impl Work<'_> {
    pub(crate) fn read(&self) -> Reader<'_> {
        Reader { map: self.map, fs: self.fs }
    }

    pub(crate) fn file(&self, ino: InodeId) -> FileId {
        FileId { fs: self.fs, ino }
    }

    pub(crate) fn put<R: Record>(&mut self, key: &[u8], record: &R) {
        self.map.put(key, record.encode());
    }

    pub(crate) fn put_inode(&mut self, ino: InodeId, inode: &Inode) {
        self.put(&keys::inode(self.file(ino)), inode);
    }

    pub(crate) fn counters(&self, slot: Slot) -> Result<Counters, MapError> {
        Ok(self.read().record(&keys::counters(self.fs, slot))?.unwrap_or_default())
    }

    pub(crate) fn put_counters(&mut self, slot: Slot, counters: &Counters) {
        self.put(&keys::counters(self.fs, slot), counters);
    }

    /// Stripes are numbered over all filesystems, as drives know no filesystem: in filesystem 0.
    pub(crate) fn stripe_counters(&self, slot: Slot) -> Result<Counters, MapError> {
        Ok(self.read().record(&keys::counters(FsId(0), slot))?.unwrap_or_default())
    }

    pub(crate) fn put_stripe_counters(&mut self, slot: Slot, counters: &Counters) {
        self.put(&keys::counters(FsId(0), slot), counters);
    }

    /// An inode as it begins: with the names that its kind has at first, and as large as what is in its body.
    pub(crate) fn new_inode(&self, kind: FileKind, mode: Mode, (uid, gid): (u32, u32), body: Body) -> Inode {
        let size = match &body {
            Body::Symlink(target) => target.len() as u64,
            Body::File(File { inline: Some(content), .. }) => content.len() as u64,
            _ => 0,
        };
        Inode {
            kind,
            mode,
            uid,
            gid,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            device: Device::default(),
            size,
            used: 0,
            atime: self.now,
            mtime: self.now,
            ctime: self.now,
            btime: self.now,
            change: 1,
            xattrs: 0,
            content: 1,
            body,
        }
    }

    /// Keeps an inode that was changed; what there is to say of it. `before`: its change attribute then.
    pub(crate) fn keep_changed(&mut self, ino: InodeId, inode: &Inode, before: u64) -> Reply {
        self.put_inode(ino, inode);
        Reply::Attr { attr: self.read().attr(ino, inode), before, drain: false }
    }

    /// A number that no inode of the filesystem ever had.
    pub(crate) fn new_inode_id(&mut self, slot: Slot) -> Step<InodeId> {
        let mut counters = self.counters(slot)?;
        if counters.closed {
            return Err(FsError::Stale.into());
        }
        if counters.inode >= (1 << InodeId::SEQUENCE_BITS) - 1 {
            return Err(FsError::NoSpace.into());
        }
        counters.inode += 1;
        counters.inodes = counters.inodes.saturating_add(1);
        self.put_counters(slot, &counters);
        Ok(InodeId::new(slot, counters.inode))
    }

    /// The caller may add and remove names in `dir`.
    pub(crate) fn allow_entries(&self, dir: &Inode) -> Step<()> {
        allow(&self.cred, dir, AccessMask::WRITE.union(AccessMask::EXECUTE))
    }

    pub(crate) fn find(&self, dir_ino: InodeId, dir: &Inode, name: &Name) -> Step<Option<(Cookie, Entry)>> {
        self.read().entry(dir_ino, dir.as_directory()?, name)
    }

    /// Adds both records of an entry and changes `dir`, which the caller writes. The name must be free.
    pub(crate) fn add_entry(&mut self, dir_ino: InodeId, dir: &mut Inode, entry: Entry) -> Step<DirChange> {
        if system::is_hidden(dir_ino, &entry.name) {
            return Err(FsError::NotPermitted.into());
        }
        self.add_any_entry(dir_ino, dir, entry)
    }

    /// As [`Self::add_entry`], also for the system directory.
    pub(crate) fn add_any_entry(
        &mut self,
        dir_ino: InodeId,
        dir: &mut Inode,
        entry: Entry,
    ) -> Step<DirChange> {
        let dir_file = self.file(dir_ino);
        let home = natural(&dir.as_directory()?.hash_key, &entry.name);
        let mut cookie = home;
        while self.map.get(&keys::entry(dir_file, cookie))?.is_some() {
            if cookie.0 - home.0 == u64::from(u16::MAX) {
                return Err(FsError::NoSpace.into());
            }
            cookie.0 += 1;
        }
        let is_directory = entry.kind == FileKind::Directory;
        self.put(&keys::entry(dir_file, cookie), &entry);
        let by_name = EntryName { cookie, ino: entry.ino, kind: entry.kind };
        self.put(&keys::entry_name(dir_file, &entry.name, is_directory), &by_name);
        let body = dir.as_directory_mut()?;
        body.displaced = body.displaced.saturating_add(u32::from(cookie != home));
        dir.size = dir.size.saturating_add(1);
        dir.links = dir.links.checked_add(u32::from(is_directory)).ok_or(FsError::TooManyLinks)?;
        Ok(dir.modify(self.now))
    }

    /// Removes both records of an entry and changes `dir`, which the caller writes.
    pub(crate) fn remove_entry(
        &mut self,
        dir_ino: InodeId,
        dir: &mut Inode,
        cookie: Cookie,
        entry: &Entry,
    ) -> Step<DirChange> {
        let dir_file = self.file(dir_ino);
        let home = natural(&dir.as_directory()?.hash_key, &entry.name);
        let is_directory = entry.kind == FileKind::Directory;
        self.map.delete(&keys::entry(dir_file, cookie));
        self.map.delete(&keys::entry_name(dir_file, &entry.name, is_directory));
        let body = dir.as_directory_mut()?;
        body.displaced = less(body.displaced, u32::from(cookie != home))?;
        dir.size = less(dir.size, 1)?;
        dir.links = less(dir.links, u32::from(is_directory))?;
        Ok(dir.modify(self.now))
    }

    /// The caller may remove the entry of `inode` from `dir` (sticky directories).
    pub(crate) fn allow_removal(&self, dir: &Inode, inode: &Inode) -> Step<()> {
        if access::sticky_allows(&self.cred, dir.mode, dir.uid, inode.uid) {
            Ok(())
        } else {
            Err(FsError::NotPermitted.into())
        }
    }

    /// Takes a name from an inode; the last one makes it an orphan or removes it, in steps if need be, and not
    /// more than its record where it is not in the slot that the command is at home in.
    pub(crate) fn drop_link(
        &mut self,
        home: Slot,
        ino: InodeId,
        mut inode: Inode,
        keep: bool,
    ) -> Step<Removed> {
        let file = self.file(ino);
        let kind = inode.kind;
        inode.links = if kind == FileKind::Directory { 0 } else { less(inode.links, 1)? };
        inode.touch(self.now);
        let links = inode.links;
        let mut drain = false;
        self.put_inode(ino, &inode);
        if links == 0 && keep {
            self.put(&keys::orphan(file), &Orphan { since: self.now });
        } else if links == 0 {
            self.put(&keys::intent(file), &Intent::Delete { from: 0 });
            let has_content = matches!(&inode.body, Body::File(body) if body.inline.is_none());
            let away = ino.slot() != home && (has_content || inode.xattrs > 0);
            drain = away || commands::drain::step(self, ino)?;
        }
        Ok(Removed { file, kind, links, kept: links == 0 && keep, drain })
    }
}
