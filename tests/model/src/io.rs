//! Data of regular files.

use crate::content::Content;
use crate::inode::{Body, Inode};
use crate::state::State;
use types::limits::{BLOCK_BYTES, FILE_BYTES_MAX, IO_BYTES_MAX};
use types::{FileId, FsError, Name};
use vfs::{
    Allocate, AllocateHow, CloneRange, Commit, CommitReply, Ctx, Durability, FsResult, OpenAccess, Read,
    ReadReply, Seek, SeekReply, SeekWhat, Write, WriteOffset, WriteReply,
};

const READ: OpenAccess = OpenAccess { read: true, write: false };
const WRITE: OpenAccess = OpenAccess { read: false, write: true };

impl Inode {
    /// Whoever changes a file ends the capabilities that a program had.
    pub(crate) fn forget_capability(&mut self) {
        if let Ok(name) = Name::new(&b"security.capability"[..]) {
            self.xattrs.remove(&name);
        }
    }
}

impl State {
    fn content(&self, file: FileId) -> FsResult<&Content> {
        match &self.inode(file)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(FsError::IsDirectory),
            Body::Symlink(_) => Err(FsError::IsSymlink),
            Body::Node => Err(FsError::WrongKind),
        }
    }

    /// Changes content with all that follows from it.
    fn edit(&mut self, ctx: &Ctx, file: FileId, edit: impl FnOnce(&mut Content)) -> FsResult<()> {
        let now = self.now();
        let inode = self.inode_mut(file)?;
        inode.mode = access::kill_privileges(&ctx.cred, inode.kind, inode.mode, false);
        inode.forget_capability();
        inode.touch_content(now);
        if let Body::File(content) = &mut inode.body {
            edit(content);
        }
        Ok(())
    }

    pub(crate) fn read(&self, ctx: &Ctx, request: &Read) -> FsResult<ReadReply> {
        self.demand_data(ctx, request.file, request.open, READ)?;
        let content = self.content(request.file)?;
        let length = (request.length as usize).min(IO_BYTES_MAX) as u64;
        let data = content.read(request.offset..request.offset.saturating_add(length));
        let end = request.offset.saturating_add(data.len() as u64) >= content.size;
        Ok(ReadReply { data, end })
    }

    pub(crate) fn write(&mut self, ctx: &Ctx, request: &Write) -> FsResult<WriteReply> {
        self.demand_data(ctx, request.file, request.open, WRITE)?;
        let length = request.data.len();
        if length > IO_BYTES_MAX {
            return Err(FsError::Invalid);
        }
        let content = self.content(request.file)?;
        let offset = match request.offset {
            WriteOffset::At(offset) => offset,
            WriteOffset::End => content.size,
        };
        if offset.checked_add(length as u64).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(FsError::FileTooLarge);
        }
        if length > 0 {
            let before =
                (request.durability == Durability::Unstable && self.keep_durable).then(|| content.clone());
            self.edit(ctx, request.file, |content| content.write(offset, &request.data))?;
            let inode = self.inode_mut(request.file)?;
            inode.durable = match before {
                Some(before) => inode.durable.take().or(Some(before)),
                None => None,
            };
        }
        let durability =
            if request.durability == Durability::Unstable { Durability::Unstable } else { Durability::File };
        Ok(WriteReply { offset, durability, verifier: self.verifier() })
    }

    pub(crate) fn commit(&mut self, request: &Commit) -> FsResult<CommitReply> {
        let verifier = self.verifier();
        let inode = self.inode_mut(request.file)?;
        match inode.body {
            Body::File(_) | Body::Directory(_) => inode.durable = None,
            _ => return Err(FsError::WrongKind),
        }
        Ok(CommitReply { verifier })
    }

    pub(crate) fn allocate(&mut self, ctx: &Ctx, request: &Allocate) -> FsResult<()> {
        self.demand_data(ctx, request.file, request.open, WRITE)?;
        let range = request.range;
        if range.is_empty() {
            return Err(FsError::Invalid);
        }
        if range.end > FILE_BYTES_MAX {
            return Err(FsError::FileTooLarge);
        }
        self.edit(ctx, request.file, |content| {
            let extended = content.size.max(range.end);
            match request.how {
                AllocateHow::Reserve => content.resize(extended),
                AllocateHow::ReserveKeepSize => {}
                AllocateHow::Punch | AllocateHow::ZeroKeepSize => content.punch(range.offset..range.end),
                AllocateHow::Zero => {
                    content.punch(range.offset..range.end);
                    content.resize(extended);
                }
            }
        })?;
        self.inode_mut(request.file)?.durable = None;
        Ok(())
    }

    pub(crate) fn seek(&self, request: &Seek) -> FsResult<SeekReply> {
        let content = self.content(request.file)?;
        if request.offset >= content.size {
            return Err(FsError::NothingThere);
        }
        let found = match request.what {
            SeekWhat::Data => content.data_after(request.offset),
            SeekWhat::Hole => Some(content.hole_after(request.offset)),
        };
        Ok(SeekReply { offset: found.ok_or(FsError::NothingThere)? })
    }

    pub(crate) fn clone_range(&mut self, ctx: &Ctx, request: &CloneRange) -> FsResult<()> {
        let (from, to) = (request.from, request.to);
        if from.fs != to.fs {
            return Err(FsError::CrossFilesystem);
        }
        self.demand_data(ctx, from, request.from_open, READ)?;
        self.demand_data(ctx, to, request.to_open, WRITE)?;
        let source = self.content(from)?;
        let length = match request.length {
            0 => source.size.saturating_sub(request.from_offset),
            n => n,
        };
        let end = request.from_offset.checked_add(length).ok_or(FsError::Invalid)?;
        let to_end = request.to_offset.checked_add(length).ok_or(FsError::Invalid)?;
        let block = BLOCK_BYTES as u64;
        let aligned = request.from_offset.is_multiple_of(block)
            && request.to_offset.is_multiple_of(block)
            && (length.is_multiple_of(block) || end == source.size);
        let overlap = from == to && request.from_offset < to_end && request.to_offset < end;
        if !aligned || overlap || end > source.size {
            return Err(FsError::Invalid);
        }
        if to_end > FILE_BYTES_MAX {
            return Err(FsError::FileTooLarge);
        }
        if length == 0 {
            return Ok(());
        }
        let source = source.clone();
        self.edit(ctx, to, |content| {
            content.clone_from_range(&source, request.from_offset..end, request.to_offset);
        })?;
        self.inode_mut(to)?.durable = None;
        Ok(())
    }
}
