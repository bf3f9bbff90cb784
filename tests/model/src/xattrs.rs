//! Extended attributes.

use crate::state::State;
use types::limits::{XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use types::{AccessMask, Cred, FileId, FileKind, FsError, Name};
use vfs::{
    Ctx, DirChange, FsResult, GetXattr, GetXattrReply, ListXattr, ListXattrReply, RemoveXattr, SetXattr,
    SetXattrHow, SetXattrReply,
};

enum Space {
    User,
    Trusted,
    Security,
}

fn space(name: &Name) -> FsResult<Space> {
    let bytes = name.as_bytes();
    for (prefix, space) in
        [(&b"user."[..], Space::User), (b"trusted.", Space::Trusted), (b"security.", Space::Security)]
    {
        if let Some(rest) = bytes.strip_prefix(prefix) {
            return if rest.is_empty() { Err(FsError::Invalid) } else { Ok(space) };
        }
    }
    Err(FsError::NotSupported)
}

impl State {
    fn demand_xattr(&self, cred: &Cred, file: FileId, name: &Name, change: bool) -> FsResult<()> {
        self.may_xattr(cred, file, name, change)?;
        if change { self.demand_free(file) } else { Ok(()) }
    }

    fn may_xattr(&self, cred: &Cred, file: FileId, name: &Name, change: bool) -> FsResult<()> {
        let inode = self.inode(file)?;
        let carries = matches!(inode.kind, FileKind::File | FileKind::Directory);
        match (space(name)?, change) {
            (Space::User, _) if !carries => {
                Err(if change { FsError::NotPermitted } else { FsError::NoAttribute })
            }
            (Space::User, true) => {
                let sticky = inode.kind == FileKind::Directory && inode.mode.0 & access::STICKY != 0;
                if sticky && !access::owns(cred, inode.uid) {
                    return Err(FsError::NotPermitted);
                }
                self.demand(cred, file, AccessMask::WRITE)
            }
            (Space::User, false) => self.demand(cred, file, AccessMask::READ),
            (Space::Trusted, change) if cred.uid != 0 => {
                Err(if change { FsError::NotPermitted } else { FsError::NoAttribute })
            }
            // Who could give its own program a capability would be the superuser (capabilities(7)).
            (Space::Security, true) if cred.uid != 0 => Err(FsError::NotPermitted),
            _ => Ok(()),
        }
    }

    pub(crate) fn getxattr(&self, ctx: &Ctx, request: &GetXattr) -> FsResult<GetXattrReply> {
        self.demand_xattr(&ctx.cred, request.file, &request.name, false)?;
        let value = self.inode(request.file)?.xattrs.get(&request.name).ok_or(FsError::NoAttribute)?;
        Ok(GetXattrReply { value: value.clone() })
    }

    pub(crate) fn setxattr(&mut self, ctx: &Ctx, request: &SetXattr) -> FsResult<SetXattrReply> {
        self.demand_xattr(&ctx.cred, request.file, &request.name, true)?;
        if request.value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(FsError::AttributeTooLarge);
        }
        let now = self.now();
        let inode = self.inode_mut(request.file)?;
        match (inode.xattrs.contains_key(&request.name), request.how) {
            (true, SetXattrHow::Create) => return Err(FsError::Exists),
            (false, SetXattrHow::Replace) => return Err(FsError::NoAttribute),
            (false, _) => {
                let names = inode.xattrs.keys().chain([&request.name]);
                if names.map(|name| name.as_bytes().len() + 1).sum::<usize>() > XATTR_LIST_BYTES_MAX {
                    return Err(FsError::AttributeTooLarge);
                }
            }
            (true, _) => {}
        }
        let before = inode.change;
        inode.xattrs.insert(request.name.clone(), request.value.clone());
        inode.touch(now);
        Ok(SetXattrReply { change: DirChange { before, after: inode.change } })
    }

    pub(crate) fn listxattr(&self, ctx: &Ctx, request: &ListXattr) -> FsResult<ListXattrReply> {
        let shows = |name: &&Name| ctx.cred.uid == 0 || !name.as_bytes().starts_with(b"trusted.");
        let names = self.inode(request.file)?.xattrs.keys().filter(shows).cloned().collect();
        Ok(ListXattrReply { names })
    }

    pub(crate) fn removexattr(&mut self, ctx: &Ctx, request: &RemoveXattr) -> FsResult<SetXattrReply> {
        self.demand_xattr(&ctx.cred, request.file, &request.name, true)?;
        let now = self.now();
        let inode = self.inode_mut(request.file)?;
        inode.xattrs.remove(&request.name).ok_or(FsError::NoAttribute)?;
        let before = inode.change;
        inode.touch(now);
        Ok(SetXattrReply { change: DirChange { before, after: inode.change } })
    }
}
