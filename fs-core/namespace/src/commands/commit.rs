//! Making written data part of a file.

use crate::command::{Action, Extent, NewStripe};
use crate::commands::retention;
use crate::extents::{EXTENTS_PER_COMMAND, Run, less};
use crate::inodes::{Step, Work};
use crate::outcome::Reply;
use crate::records::{Extent as Record, Inode};
use bytes::Bytes;
use types::limits::{FILE_BYTES_MAX, INLINE_FILE_BYTES_MAX, INLINE_WRITE_BYTES_MAX};
use types::{ByteRange, FsError, InodeId};

/// See [`Action::Commit`].
pub(crate) fn commit(work: &mut Work<'_>, action: Action) -> Step<Reply> {
    let Action::Commit {
        ino,
        stripes,
        extents,
        inline,
        size_at_least,
        change_at_least,
        written,
        drop_privileges,
    } = action
    else {
        return Err(FsError::Invalid.into());
    };
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    inode.as_file()?;
    if written.is_some() || drop_privileges {
        retention::refuse(&inode, work.now)?;
    }
    if size_at_least > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge.into());
    }
    match inline {
        Some(content) => keep_inline(work, ino, &mut inode, content)?,
        None if extents.is_empty() && stripes.is_empty() => {}
        None => lay(work, ino, &mut inode, &stripes, &extents)?,
    }
    inode.size = inode.size.max(size_at_least);
    if drop_privileges && work.drop_privileges(ino, &mut inode)? {
        inode.touch(work.now);
    }
    if let Some(written) = written {
        // The times that readers of the unwritten data saw, not those of the write-back.
        inode.mtime = written;
        inode.ctime = inode.ctime.max(written);
        inode.change = inode.change.saturating_add(u64::from(change_at_least <= inode.change));
    }
    inode.change = inode.change.max(change_at_least);
    if written.is_some() {
        inode.mark_content();
    }
    Ok(work.keep_changed(ino, &inode, before))
}

/// The whole content of a small file, in its inode.
fn keep_inline(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode, content: Bytes) -> Step<()> {
    if content.len() > INLINE_FILE_BYTES_MAX {
        return Err(FsError::Invalid.into());
    }
    super::drain::refuse_cut(inode, u64::MAX)?;
    let others = match inode.as_file()?.inline.as_ref().map(Bytes::len) {
        Some(old) => less(inode.used, old as u64)?,
        None => {
            work.punch(ino, inode, ByteRange { offset: 0, end: u64::MAX }, EXTENTS_PER_COMMAND)?;
            inode.used
        }
    };
    work.set_used(ino, inode, others.saturating_add(content.len() as u64));
    inode.size = inode.size.max(content.len() as u64);
    inode.as_file_mut()?.inline = Some(content);
    Ok(())
}

/// Lays runs over the file, and takes over the stripes that they are in.
pub(super) fn lay(
    work: &mut Work<'_>,
    ino: InodeId,
    inode: &mut Inode,
    stripes: &[NewStripe],
    extents: &[Extent],
) -> Step<()> {
    if extents.len() > EXTENTS_PER_COMMAND {
        return Err(FsError::Invalid.into());
    }
    work.adopt(stripes)?;
    work.spill_inline(ino, inode)?;
    let mut budget = EXTENTS_PER_COMMAND;
    let mut last = 0;
    for extent in extents {
        let length = extent.length();
        let range = ByteRange::new(extent.offset, length);
        let inline_fits =
            !matches!(&extent.source, crate::Changed::Inline(b) if b.len() > INLINE_WRITE_BYTES_MAX);
        if range.is_empty() || extent.offset < last || range.end > FILE_BYTES_MAX || !inline_fits {
            return Err(FsError::Invalid.into());
        }
        last = range.end;
        super::drain::refuse_cut(inode, range.end)?;
        budget -= work.punch(ino, inode, range, budget)?;
        let source = work.settle_source(&extent.source)?;
        work.add_run(ino, inode, &Run { offset: extent.offset, extent: Record { length, source } });
        inode.size = inode.size.max(range.end);
    }
    // A stripe that no extent of its command refers to would never be freed.
    for new in stripes {
        let record: Option<crate::records::Stripe> =
            work.read().record(&crate::keys::stripe(work.fs, new.stripe))?;
        if record.is_none_or(|stripe| stripe.pieces == 0) {
            return Err(FsError::Invalid.into());
        }
    }
    Ok(())
}
