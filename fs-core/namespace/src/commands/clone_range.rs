//! Sharing a range between files, by reference.

use crate::commands::retention;
use crate::extents::Run;
use crate::inodes::{Step, Work};
use crate::outcome::{Failure, Reply};
use crate::records::Source;
use types::limits::FILE_BYTES_MAX;
use types::{ByteRange, FsError, InodeId};

/// Most extents of either file in one command: both sides change keys.
const EXTENTS: usize = 100;
/// Most bytes of content that one command copies, where that is kept with the extents.
const INLINE_BYTES: u64 = 64 * 1024;

/// The arguments of a clone, as its command has them.
pub(crate) struct CloneRange {
    pub(crate) from: InodeId,
    pub(crate) from_offset: u64,
    pub(crate) to: InodeId,
    pub(crate) to_offset: u64,
    pub(crate) length: u64,
}

/// See [`crate::Action::CloneRange`]. Extents begin and end at any byte, so that a long clone can be split
/// at any; that callers align theirs is the contract's business. A [`Failure::Split`] counts from the destination.
pub(crate) fn clone_range(work: &mut Work<'_>, args: &CloneRange) -> Step<Reply> {
    let &CloneRange { from, from_offset, to, to_offset, length } = args;
    let mut source = work.read().inode(from)?;
    source.as_file()?;
    let source_range = ByteRange::new(from_offset, length);
    let target_range = ByteRange::new(to_offset, length);
    let overlap = from == to && source_range.overlaps(&target_range);
    if length == 0 || source_range.end > source.size || overlap {
        return Err(FsError::Invalid.into());
    }
    if target_range.end > FILE_BYTES_MAX {
        return Err(FsError::FileTooLarge.into());
    }
    super::drain::refuse_cut(&source, source_range.end)?;
    work.spill_inline(from, &mut source)?;
    work.put_inode(from, &source);
    let mut target = work.read().inode(to)?;
    let before = target.change;
    target.as_file()?;
    retention::refuse(&target, work.now)?;
    super::drain::refuse_cut(&target, target_range.end)?;
    work.spill_inline(to, &mut target)?;

    let runs = work.read().runs(from, source_range, EXTENTS + 1)?;
    if let Some(excess) = runs.get(EXTENTS) {
        return Err(Failure::Split { at: to_offset + (excess.offset - from_offset) }.into());
    }
    let mut inline = 0;
    for run in runs.iter().filter(|run| matches!(run.extent.source, Source::Inline(_))) {
        inline += run.extent.length;
        if inline > INLINE_BYTES && run.offset > from_offset {
            return Err(Failure::Split { at: to_offset + (run.offset - from_offset) }.into());
        }
    }
    work.punch(to, &mut target, target_range, EXTENTS)?;
    // What was never written is not reserved a second time: it reads as zeros all the same.
    let written = |run: &Run| run.extent.source != Source::Unwritten;
    for run in runs.iter().filter_map(|run| run.clip(source_range)).filter(written) {
        work.refer(&run.extent.source)?;
        let moved = Run { offset: run.offset - from_offset + to_offset, extent: run.extent };
        work.add_run(to, &mut target, &moved);
    }
    target.size = target.size.max(target_range.end);
    work.drop_privileges(to, &mut target)?;
    target.modify(work.now);
    target.mark_content();
    Ok(work.keep_changed(to, &target, before))
}
