//! Reserving, freeing and zeroing ranges.

use crate::command::Space;
use crate::commands::retention;
use crate::extents::{EXTENTS_PER_COMMAND, Run};
use crate::inodes::{Step, Work};
use crate::outcome::Reply;
use crate::records::{Extent, Inode, Source};
use types::limits::FILE_BYTES_MAX;
use types::{ByteRange, FsError, InodeId};

/// See [`crate::Action::Space`].
pub(crate) fn space(
    work: &mut Work<'_>,
    ino: InodeId,
    range: ByteRange,
    space: Space,
    extend: bool,
) -> Step<Reply> {
    let mut inode = work.read().inode(ino)?;
    let before = inode.change;
    inode.as_file()?;
    retention::refuse(&inode, work.now)?;
    if range.is_empty() {
        return Err(FsError::Invalid.into());
    }
    if range.end > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge.into());
    }
    super::drain::refuse_cut(&inode, range.end)?;
    work.spill_inline(ino, &mut inode)?;
    match space {
        Space::Punch => {
            work.punch(ino, &mut inode, range, EXTENTS_PER_COMMAND)?;
        }
        Space::Zero => {
            work.punch(ino, &mut inode, range, EXTENTS_PER_COMMAND)?;
            reserve(work, ino, &mut inode, range);
        }
        Space::Reserve => fill_holes(work, ino, &mut inode, range)?,
    }
    if extend {
        inode.size = inode.size.max(range.end);
    }
    work.drop_privileges(ino, &mut inode)?;
    inode.modify(work.now);
    inode.mark_content();
    Ok(work.keep_changed(ino, &inode, before))
}

fn reserve(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode, range: ByteRange) {
    let extent = Extent { length: range.len(), source: Source::Unwritten };
    work.add_run(ino, inode, &Run { offset: range.offset, extent });
}

fn fill_holes(work: &mut Work<'_>, ino: InodeId, inode: &mut Inode, range: ByteRange) -> Step<()> {
    let runs = work.read().runs(ino, range, EXTENTS_PER_COMMAND + 1)?;
    if let Some(excess) = runs.get(EXTENTS_PER_COMMAND) {
        return Err(crate::Failure::Split { at: excess.offset }.into());
    }
    let mut at = range.offset;
    for run in runs {
        if run.offset > at {
            reserve(work, ino, inode, ByteRange { offset: at, end: run.offset });
        }
        at = run.range().end;
    }
    if at < range.end {
        reserve(work, ino, inode, ByteRange { offset: at, end: range.end });
    }
    Ok(())
}
