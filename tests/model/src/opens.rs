//! Opens and what they deny to others.

use crate::clients::Had;
use crate::inode::{Body, Inode};
use crate::state::{FS, State};
use std::collections::BTreeMap;
use std::time::Duration;
use types::{AccessMask, FileId, FileKind, FsError, InodeId, Name};
use vfs::{
    ClientId, Close, Create, CreateHow, Ctx, DirChange, FsResult, Open, OpenAccess, OpenElsewhere, OpenId,
    OpenReply, OpenTarget, Reopen,
};

pub(crate) struct OpenFile {
    pub(crate) ino: InodeId,
    pub(crate) client: ClientId,
    pub(crate) access: OpenAccess,
    pub(crate) deny: OpenAccess,
}

#[derive(Default)]
pub(crate) struct Opens {
    pub(crate) table: BTreeMap<OpenId, OpenFile>,
    next: u64,
}

impl Opens {
    pub(crate) fn any(&self, ino: InodeId) -> bool {
        self.table.values().any(|open| open.ino == ino)
    }

    /// What the opens of others than `client` do with a file.
    pub(crate) fn elsewhere(&self, ino: InodeId, client: ClientId) -> OpenElsewhere {
        let or =
            |a: OpenAccess, b: OpenAccess| OpenAccess { read: a.read || b.read, write: a.write || b.write };
        let others = self.table.values().filter(|open| open.ino == ino && open.client != client);
        let none = OpenElsewhere { access: NOTHING, deny: NOTHING };
        others.fold(none, |all, open| OpenElsewhere {
            access: or(all.access, open.access),
            deny: or(all.deny, open.deny),
        })
    }

    pub(crate) fn add(&mut self, open: OpenFile) -> OpenId {
        self.next += 1;
        self.table.insert(OpenId(self.next), open);
        OpenId(self.next)
    }
}

const NOTHING: OpenAccess = OpenAccess { read: false, write: false };

fn meets(a: OpenAccess, b: OpenAccess) -> bool {
    a.read && b.read || a.write && b.write
}

fn rights(access: OpenAccess) -> AccessMask {
    let read = if access.read { AccessMask::READ } else { AccessMask::default() };
    let write = if access.write { AccessMask::WRITE } else { AccessMask::default() };
    read.union(write)
}

impl State {
    /// An open of `file` that allows `access`.
    pub(crate) fn opened(&self, open: OpenId, file: FileId, access: OpenAccess) -> FsResult<()> {
        let open = self.opens.table.get(&open).filter(|open| open.ino == file.ino).ok_or(FsError::BadOpen)?;
        let enough = (open.access.read || !access.read) && (open.access.write || !access.write);
        if enough { Ok(()) } else { Err(FsError::BadOpen) }
    }

    /// The right to use a file's data, through an open or without.
    pub(crate) fn demand_data(
        &self,
        ctx: &Ctx,
        file: FileId,
        open: Option<OpenId>,
        access: OpenAccess,
    ) -> FsResult<()> {
        match self.inode(file)?.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(FsError::IsDirectory),
            FileKind::Symlink => return Err(FsError::IsSymlink),
            _ => return Err(FsError::WrongKind),
        }
        match open {
            Some(open) => self.opened(open, file, access)?,
            None => {
                self.demand(&ctx.cred, file, rights(access))?;
                self.demand_use(ctx.client)?;
                self.share(file.ino, None, access, NOTHING)?;
            }
        }
        if access.write { self.demand_free(file) } else { Ok(()) }
    }

    fn share(
        &self,
        ino: InodeId,
        except: Option<OpenId>,
        access: OpenAccess,
        deny: OpenAccess,
    ) -> FsResult<()> {
        let conflict = self.opens.table.iter().any(|(id, open)| {
            open.ino == ino && Some(*id) != except && (meets(open.deny, access) || meets(open.access, deny))
        });
        if conflict { Err(FsError::ShareConflict) } else { Ok(()) }
    }

    pub(crate) fn open(&mut self, ctx: &Ctx, request: Open) -> FsResult<OpenReply> {
        self.demand_open(ctx.client, request.reclaim, request.deny)?;
        let denies = request.deny != NOTHING;
        self.clients.note(ctx.client, Had { opens: true, denies, locks: false });
        let (file, made) = match &request.target {
            OpenTarget::File(_) if request.create.is_some() => return Err(FsError::Invalid),
            OpenTarget::File(file) => (*file, None),
            OpenTarget::Entry { dir, name } => {
                self.demand_search(&ctx.cred, *dir)?;
                match (self.entry(*dir, name), &request.create) {
                    (Ok(file), Some(create)) => match create.how {
                        CreateHow::Unchecked => (file, None),
                        CreateHow::Exclusive(verifier)
                            if self.inode(file)?.verifier == Some(verifier)
                                && access::owns(&ctx.cred, self.inode(file)?.uid) =>
                        {
                            let change = self.inode(*dir)?.change;
                            (file, Some(DirChange { before: change, after: change }))
                        }
                        CreateHow::Guarded | CreateHow::Exclusive(_) => return Err(FsError::Exists),
                    },
                    (Ok(file), None) => (file, None),
                    (Err(FsError::NotFound), Some(create)) => {
                        let (file, change) = self.make_file(ctx, *dir, name, create)?;
                        (file, Some(change))
                    }
                    (Err(error), _) => return Err(error),
                }
            }
        };
        if made.is_none() {
            self.open_existing(ctx, file, &request)?;
        }
        let open = self.opens.add(OpenFile {
            ino: file.ino,
            client: ctx.client,
            access: request.access,
            deny: request.deny,
        });
        let dir = match (&request.target, made) {
            (_, Some(change)) => Some(change),
            (OpenTarget::Entry { dir, .. }, None) => {
                let change = self.inode(*dir)?.change;
                Some(DirChange { before: change, after: change })
            }
            (OpenTarget::File(_), None) => None,
        };
        let attr = self.inode(file)?.attr(file);
        Ok(OpenReply { open, attr, created: made.is_some(), dir, trust: Duration::ZERO })
    }

    fn open_existing(&mut self, ctx: &Ctx, file: FileId, request: &Open) -> FsResult<()> {
        let inode = self.inode(file)?;
        match inode.kind {
            FileKind::File => {}
            FileKind::Directory => return Err(FsError::IsDirectory),
            FileKind::Symlink => return Err(FsError::IsSymlink),
            _ => return Err(FsError::WrongKind),
        }
        let size = request.create.as_ref().and_then(|create| create.set.size);
        let cut = request.truncate.then_some(0).or(size);
        let mut needs = rights(request.access);
        if cut.is_some() {
            needs = needs.union(AccessMask::WRITE);
        }
        let mut has =
            access::decide(&ctx.cred, inode.uid, inode.gid, inode.mode, inode.kind, AccessMask::ALL);
        if request.for_execution && has.contains(AccessMask::EXECUTE) {
            has = has.union(AccessMask::READ);
        }
        if request.reclaim && access::owns(&ctx.cred, inode.uid) {
            has = AccessMask::ALL;
        }
        if !has.contains(needs) {
            return Err(FsError::AccessDenied);
        }
        if request.access.write || cut.is_some() {
            self.demand_free(file)?;
        }
        self.share(file.ino, None, request.access, request.deny)?;
        if let Some(size) = cut {
            self.resize(ctx, file, size)?;
        }
        Ok(())
    }

    fn make_file(
        &mut self,
        ctx: &Ctx,
        dir: FileId,
        name: &Name,
        create: &Create,
    ) -> FsResult<(FileId, DirChange)> {
        self.demand_new(&ctx.cred, dir, name)?;
        let mut inode = self.new_inode(ctx, dir, FileKind::File, create.mode, Body::File(<_>::default()))?;
        if let CreateHow::Exclusive(verifier) = create.how {
            inode.verifier = Some(verifier);
        }
        self.enter(ctx, dir, name, inode, &create.set)
    }

    pub(crate) fn reopen(&mut self, ctx: &Ctx, request: &Reopen) -> FsResult<()> {
        let open = self.opens.table.get(&request.open).ok_or(FsError::BadOpen)?;
        let (ino, had, denied) = (open.ino, open.access, open.deny);
        let more =
            OpenAccess { read: request.access.read && !had.read, write: request.access.write && !had.write };
        self.demand(&ctx.cred, FileId { fs: FS, ino }, rights(more))?;
        let denies = request.deny != NOTHING;
        let more = OpenAccess {
            read: request.deny.read && !denied.read,
            write: request.deny.write && !denied.write,
        };
        if more != NOTHING {
            self.demand_open(ctx.client, false, more)?;
        }
        self.share(ino, Some(request.open), request.access, request.deny)?;
        self.clients.note(ctx.client, Had { opens: true, denies, locks: false });
        if let Some(open) = self.opens.table.get_mut(&request.open) {
            open.access = request.access;
            open.deny = request.deny;
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, request: &Close) -> FsResult<()> {
        let open = self.opens.table.remove(&request.open).ok_or(FsError::BadOpen)?;
        self.free_if_unused(open.ino);
        Ok(())
    }

    pub(crate) fn close_client(&mut self, client: ClientId) {
        let gone: Vec<InodeId> = self
            .opens
            .table
            .extract_if(.., |_, open| open.client == client)
            .map(|(_, open)| open.ino)
            .collect();
        for ino in gone {
            self.free_if_unused(ino);
        }
    }

    /// A replayed open whose first one went down with a restart.
    pub(crate) fn revive(&mut self, ctx: &Ctx, request: &Open, reply: &OpenReply) -> FsResult<OpenReply> {
        if self.opens.table.contains_key(&reply.open) {
            return Ok(reply.clone());
        }
        let attr = self.inode(reply.attr.file)?.attr(reply.attr.file);
        let open = self.opens.add(OpenFile {
            ino: attr.file.ino,
            client: ctx.client,
            access: request.access,
            deny: request.deny,
        });
        Ok(OpenReply { open, attr, ..reply.clone() })
    }

    /// A fresh inode below `dir` before it gets a name.
    pub(crate) fn new_inode(
        &self,
        ctx: &Ctx,
        dir: FileId,
        kind: FileKind,
        mode: types::Mode,
        body: Body,
    ) -> FsResult<Inode> {
        let parent = self.inode(dir)?;
        let (gid, mode) = access::inherit(&ctx.cred, parent.gid, parent.mode, kind, mode);
        Ok(Inode::new(kind, mode, ctx.cred.uid, gid, body, self.now()))
    }
}
