//! Everything the model knows, and the checks that every operation begins with.

use crate::Clock;
use crate::clients::Clients;
use crate::inode::{Body, Directory, Inode};
use crate::locks::Locks;
use crate::opens::Opens;
use crate::replay::Replay;
use std::collections::{BTreeMap, VecDeque};
use types::{AccessMask, Cred, FileId, FileKind, FsError, FsId, InodeId, Mode, Name, Time};
use vfs::{DirChange, FsResult, Verifier};

/// The one filesystem that a model has.
pub(crate) const FS: FsId = FsId(1);

pub(crate) struct State {
    pub(crate) clock: Clock,
    pub(crate) inodes: BTreeMap<InodeId, Inode>,
    pub(crate) next_ino: u64,
    /// The directory for what heads keep, once somebody has asked for it.
    pub(crate) system: Option<InodeId>,
    pub(crate) opens: Opens,
    pub(crate) locks: Locks,
    pub(crate) clients: Clients,
    pub(crate) boot: u64,
    pub(crate) keep_durable: bool,
    pub(crate) replay: Replay,
    /// What the next callers hear in the place of their answers.
    pub(crate) lost_replies: VecDeque<FsError>,
    /// Ends of clients that fail before the next one that does not.
    pub(crate) refused_ends: u32,
}

impl State {
    pub(crate) fn new(clock: Clock) -> State {
        let mut state = State {
            clock,
            inodes: BTreeMap::new(),
            next_ino: InodeId::ROOT.0 + 1,
            system: None,
            opens: Opens::default(),
            locks: Locks::default(),
            clients: Clients::default(),
            boot: 1,
            keep_durable: false,
            replay: Replay::default(),
            lost_replies: VecDeque::new(),
            refused_ends: 0,
        };
        let now = state.now();
        let body = Body::Directory(Directory::new(InodeId::ROOT));
        let root = Inode::new(FileKind::Directory, Mode(0o755), 0, 0, body, now);
        state.inodes.insert(InodeId::ROOT, root);
        state
    }

    pub(crate) fn now(&self) -> Time {
        (self.clock)()
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier(self.boot.to_be_bytes())
    }

    pub(crate) fn insert(&mut self, inode: Inode) -> InodeId {
        let ino = InodeId(self.next_ino);
        self.next_ino += 1;
        self.inodes.insert(ino, inode);
        ino
    }

    pub(crate) fn inode(&self, file: FileId) -> FsResult<&Inode> {
        if file.fs == FS { self.inodes.get(&file.ino).ok_or(FsError::Stale) } else { Err(FsError::Stale) }
    }

    pub(crate) fn inode_mut(&mut self, file: FileId) -> FsResult<&mut Inode> {
        if file.fs == FS { self.inodes.get_mut(&file.ino).ok_or(FsError::Stale) } else { Err(FsError::Stale) }
    }

    pub(crate) fn directory(&self, dir: FileId) -> FsResult<&Directory> {
        match &self.inode(dir)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory),
        }
    }

    pub(crate) fn directory_mut(&mut self, dir: FileId) -> FsResult<&mut Directory> {
        match &mut self.inode_mut(dir)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(FsError::NotDirectory),
        }
    }

    /// The inode behind an entry, without asking for rights.
    pub(crate) fn entry(&self, dir: FileId, name: &Name) -> FsResult<FileId> {
        let (_, ino) = self.directory(dir)?.by_name.get(name).ok_or(FsError::NotFound)?;
        Ok(FileId { fs: FS, ino: *ino })
    }

    pub(crate) fn demand(&self, cred: &Cred, file: FileId, mask: AccessMask) -> FsResult<()> {
        let inode = self.inode(file)?;
        if access::allowed(cred, inode.uid, inode.gid, inode.mode, inode.kind, mask) {
            Ok(())
        } else {
            Err(FsError::AccessDenied)
        }
    }

    /// A directory that the caller may search.
    pub(crate) fn demand_search(&self, cred: &Cred, dir: FileId) -> FsResult<()> {
        self.directory(dir)?;
        self.demand(cred, dir, AccessMask::EXECUTE)
    }

    /// That `name` is free in `dir` and the caller may make it.
    pub(crate) fn demand_new(&self, cred: &Cred, dir: FileId, name: &Name) -> FsResult<()> {
        self.demand_search(cred, dir)?;
        if self.entry(dir, name).is_ok() {
            return Err(FsError::Exists);
        }
        self.demand(cred, dir, AccessMask::WRITE)
    }

    /// That the caller may take the entry of `victim` out of `dir`.
    pub(crate) fn demand_remove(&self, cred: &Cred, dir: FileId, victim: FileId) -> FsResult<()> {
        self.demand(cred, dir, AccessMask::WRITE.union(AccessMask::EXECUTE))?;
        let (parent, inode) = (self.inode(dir)?, self.inode(victim)?);
        if access::sticky_allows(cred, parent.mode, parent.uid, inode.uid) {
            Ok(())
        } else {
            Err(FsError::NotPermitted)
        }
    }

    /// Notes that the entries of `dir` have changed.
    pub(crate) fn touch_dir(&mut self, dir: FileId) -> FsResult<DirChange> {
        let now = self.now();
        let inode = self.inode_mut(dir)?;
        let before = inode.change;
        inode.touch_content(now);
        Ok(DirChange { before, after: inode.change })
    }

    /// Takes a name off an inode; the last one frees it unless it is open.
    pub(crate) fn drop_link(&mut self, file: FileId) -> FsResult<()> {
        let now = self.now();
        let inode = self.inode_mut(file)?;
        inode.links = if inode.kind == FileKind::Directory { 0 } else { inode.links - 1 };
        inode.touch(now);
        self.free_if_unused(file.ino);
        Ok(())
    }

    pub(crate) fn free_if_unused(&mut self, ino: InodeId) {
        let unused = self.inodes.get(&ino).is_some_and(|inode| inode.links == 0)
            && !self.may_be_claimed(ino)
            && !self.opens.any(ino);
        if unused {
            self.inodes.remove(&ino);
            self.locks.forget_file(ino);
        }
    }
}
