//! What of a file holds space on drives, or has it set aside.

use super::{Answer, reader};
use crate::inodes::Reader;
use crate::records::{Inode, Source};
use map::OrderedMap;
use types::{ByteRange, FileId};

/// What a part of a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Held {
    /// Bytes that are reserved and were never written.
    pub reserved: u64,
    /// Bytes that were written.
    pub written: u64,
    /// The end of what this tells about.
    pub told: u64,
}

/// What `file` holds of `range`, also beyond its size; of at most `limit` extents.
///
/// # Errors
/// [`types::FsError::Stale`], or of the kind.
pub fn held(map: &dyn OrderedMap, file: FileId, range: ByteRange, limit: usize) -> Answer<Held> {
    let read: Reader<'_> = reader(map, file.fs);
    let inode: Inode = read.inode(file.ino)?;
    let body = inode.as_file()?;
    if let Some(content) = &body.inline {
        let end = range.end.min(content.len() as u64);
        return Ok(Held { written: end.saturating_sub(range.offset), reserved: 0, told: range.end });
    }
    // What waits to be cut off is a hole.
    let inside = ByteRange { offset: range.offset, end: range.end.min(body.cut.unwrap_or(u64::MAX)) };
    if inside.is_empty() {
        return Ok(Held { told: range.end, ..Held::default() });
    }
    let mut runs = read.runs(file.ino, inside, limit + 1)?;
    let more = if runs.len() > limit { runs.pop() } else { None };
    let mut held = Held { told: more.map_or(range.end, |run| run.offset), ..Held::default() };
    for run in runs.iter().filter_map(|run| run.clip(inside)) {
        let bytes =
            if run.extent.source == Source::Unwritten { &mut held.reserved } else { &mut held.written };
        *bytes += run.extent.length;
    }
    Ok(held)
}
