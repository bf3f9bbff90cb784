//! What heads keep, files without a name, and listings in the order of names.

use crate::inode::{Body, Directory, Inode};
use crate::opens::OpenFile;
use crate::state::{FS, State};
use std::collections::BTreeMap;
use std::time::Duration;
use types::limits::{
    IO_BYTES_MAX, READDIR_ENTRIES_MAX, SYSTEM_ATTRIBUTES_MAX, SYSTEM_PUT_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
};
use types::{AccessMask, FileId, FileKind, FsError, Mode, Name};
use vfs::{
    Ctx, FsResult, GetAttrReply, GetSystem, GetSystemReply, List, ListEntry, ListReply, OpenAccess,
    OpenReply, Put, PutIf, PutReply, PutSource, SetSystem, Stage, System, SystemReply, SystemValue,
};

const READ_WRITE: OpenAccess = OpenAccess { read: true, write: true };

impl State {
    pub(crate) fn system(&mut self, request: &System) -> FsResult<SystemReply> {
        if request.fs != FS {
            return Err(FsError::Stale);
        }
        let ino = match self.system {
            Some(ino) => ino,
            None => {
                let body = Body::Directory(Directory::new(types::InodeId::ROOT));
                let inode = Inode::new(FileKind::Directory, Mode(0o700), 0, 0, body, self.now());
                let ino = self.insert(inode);
                self.system = Some(ino);
                ino
            }
        };
        Ok(SystemReply { dir: FileId { fs: FS, ino } })
    }

    pub(crate) fn getsystem(&self, request: &GetSystem) -> FsResult<GetSystemReply> {
        let inode = self.inode(request.file)?;
        let values =
            inode.system.keys().filter_map(|name| Some((name.clone(), seen(inode, name)?))).collect();
        let (retention, guard) = (inode.retention, inode.guard);
        Ok(GetSystemReply { attr: inode.attr(request.file), values, retention, guard })
    }

    pub(crate) fn setsystem(&mut self, ctx: &Ctx, request: &SetSystem) -> FsResult<GetAttrReply> {
        self.demand(&ctx.cred, request.file, AccessMask::WRITE)?;
        let now = self.now();
        let inode = self.inode_mut(request.file)?;
        if request.if_content.is_some_and(|content| content != inode.content) {
            return Err(FsError::Busy);
        }
        let there = inode.system.get(&request.name).map(|(_, value)| value);
        if request.if_value.as_ref().is_some_and(|seen| seen.as_ref() != there) {
            return Err(FsError::Busy);
        }
        match &request.value {
            Some(value) if value.len() > XATTR_VALUE_BYTES_MAX => return Err(FsError::AttributeTooLarge),
            Some(value) => {
                if !inode.system.contains_key(&request.name) && inode.system.len() >= SYSTEM_ATTRIBUTES_MAX {
                    return Err(FsError::AttributeTooLarge);
                }
                inode.system.insert(request.name.clone(), (inode.content, value.clone()));
            }
            None => drop(inode.system.remove(&request.name)),
        }
        inode.touch(now);
        Ok(GetAttrReply::untrusted(inode.attr(request.file)))
    }

    pub(crate) fn stage(&mut self, ctx: &Ctx, request: &Stage) -> FsResult<OpenReply> {
        self.demand(&ctx.cred, request.near, AccessMask::WRITE.union(AccessMask::EXECUTE))?;
        let body = Body::File(<_>::default());
        let inode = self.new_inode(ctx, request.near, FileKind::File, request.mode, body)?;
        let file = FileId { fs: FS, ino: self.insert(Inode { links: 0, ..inode }) };
        let open = self.opens.add(OpenFile {
            ino: file.ino,
            client: ctx.client,
            access: READ_WRITE,
            deny: OpenAccess::default(),
        });
        Ok(OpenReply {
            open,
            attr: self.inode(file)?.attr(file),
            created: true,
            dir: None,
            trust: Duration::ZERO,
        })
    }

    pub(crate) fn put(&mut self, ctx: &Ctx, request: &Put) -> FsResult<PutReply> {
        let Put { dir, name, source, values, only, keep, retention } = request;
        self.demand(&ctx.cred, *dir, AccessMask::WRITE.union(AccessMask::EXECUTE))?;
        let old = self.entry(*dir, name).ok();
        if let Some(old) = old {
            self.demand_remove(&ctx.cred, *dir, old)?;
            if keep.is_none() {
                self.demand_free(old)?;
            }
            if self.inode(old)?.kind == FileKind::Directory {
                return Err(FsError::IsDirectory);
            }
        }
        match (only, old) {
            (PutIf::Absent, Some(_)) => return Err(FsError::Exists),
            (PutIf::Is { file, content }, old)
                if old != Some(*file) || self.inode(*file)?.content != *content =>
            {
                return Err(FsError::Busy);
            }
            _ => {}
        }
        if values.iter().map(|(name, value)| name.as_bytes().len() + value.len()).sum::<usize>()
            > SYSTEM_PUT_BYTES_MAX
        {
            return Err(FsError::AttributeTooLarge);
        }
        if let (Some(_), Some((keep, name))) = (old, keep)
            && self.entry(*keep, name).is_ok()
        {
            return Err(FsError::Exists);
        }
        let file = self.put_source(ctx, *dir, source)?;
        if let Some(old) = old {
            self.directory_mut(*dir)?.remove(name);
            match keep {
                Some((keep, name)) => {
                    self.directory_mut(*keep)?.put(name.clone(), old.ino);
                    self.touch_dir(*keep)?;
                    let now = self.now();
                    self.inode_mut(old)?.touch(now);
                }
                None => self.drop_link(old)?,
            }
        }
        self.directory_mut(*dir)?.put(name.clone(), file.ino);
        self.touch_dir(*dir)?;
        let now = self.now();
        let inode = self.inode_mut(file)?;
        inode.links = 1;
        inode.retention = *retention;
        inode.touch_content(now);
        let content = inode.content;
        inode.system = values.iter().map(|(name, value)| (name.clone(), (content, value.clone()))).collect();
        Ok(PutReply { attr: inode.attr(file) })
    }

    fn put_source(&mut self, ctx: &Ctx, dir: FileId, source: &PutSource) -> FsResult<FileId> {
        match source {
            PutSource::Staged(file) => {
                let inode = self.inode(*file)?;
                let fits = inode.links == 0 && access::owns(&ctx.cred, inode.uid);
                if fits { Ok(*file) } else { Err(FsError::Invalid) }
            }
            PutSource::Content { data, .. } if data.len() > IO_BYTES_MAX => Err(FsError::Invalid),
            PutSource::Content { data, mode } => {
                let mut inode =
                    self.new_inode(ctx, dir, FileKind::File, *mode, Body::File(<_>::default()))?;
                if let Body::File(content) = &mut inode.body {
                    content.write(0, data);
                }
                Ok(FileId { fs: FS, ino: self.insert(inode) })
            }
        }
    }

    pub(crate) fn list(&self, ctx: &Ctx, request: &List) -> FsResult<ListReply> {
        let directory = self.directory(request.dir)?;
        self.demand(&ctx.cred, request.dir, AccessMask::READ)?;
        let limit = (request.limit as usize).clamp(1, READDIR_ENTRIES_MAX);
        let mut sorted: BTreeMap<Vec<u8>, &Name> = BTreeMap::new();
        for name in directory.by_name.keys() {
            let inode = self.inode(self.entry(request.dir, name)?)?;
            let slash: &[u8] = if inode.kind == FileKind::Directory { b"/" } else { b"" };
            sorted.insert([name.as_bytes(), slash].concat(), name);
        }
        let mut rest = sorted
            .range(request.from.to_vec()..)
            .filter(|(listed, _)| !request.past || **listed != request.from[..]);
        let mut entries = Vec::new();
        for (_, name) in rest.by_ref().take(limit) {
            let file = self.entry(request.dir, name)?;
            let inode = self.inode(file)?;
            let value = request.value.as_ref().and_then(|wanted| seen(inode, wanted));
            entries.push(ListEntry { name: (*name).clone(), attr: inode.attr(file), value });
        }
        Ok(ListReply { entries, end: rest.next().is_none() })
    }
}

fn seen(inode: &Inode, name: &Name) -> Option<SystemValue> {
    let (content, value) = inode.system.get(name)?;
    Some(SystemValue { value: value.clone(), fresh: *content == inode.content })
}
