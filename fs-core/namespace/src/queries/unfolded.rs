//! Bytes that extents hold themselves, ready to be moved into stripes.

use super::{Answer, reader};
use crate::command::Seen;
use crate::commands::relocate;
use crate::digest::digest;
use crate::keys::{self, kind};
use crate::records::{Extent, Inode, Record, Source};
use bytes::Bytes;
use map::{MapError, OrderedMap};
use types::{FileId, FsId, InodeId, Slot, Time};

/// Bytes of a file that nothing lies between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The file.
    pub ino: InodeId,
    /// Where in it.
    pub offset: u64,
    /// The bytes, in the extents that hold them.
    pub parts: Vec<Bytes>,
}

impl Run {
    /// Number of bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// What a command that moves the run has to find in its place.
    #[must_use]
    pub fn seen(&self, key: &[u8; 16]) -> Seen {
        // At most as many as one command replaces.
        let extents = self.parts.len() as u32;
        Seen::Unfolded { digest: digest(key, self.parts.iter().map(|part| &part[..])), extents }
    }
}

/// Where a look goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file.
    pub ino: InodeId,
    /// Where in it.
    pub offset: u64,
}

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The filesystem.
    pub fs: FsId,
    /// The slot.
    pub slot: Slot,
    /// Most bytes in all; a run that does not fit any more waits for the next look.
    pub bytes: usize,
    /// Extents looked at, most.
    pub extents: usize,
    /// Files that changed after the first and until the second are left alone.
    pub changing: Option<(Time, Time)>,
}

/// Runs from `from` on, and where to go on; `None` at the end of the slot.
///
/// # Errors
/// Those of the map.
pub fn runs(map: &dyn OrderedMap, look: &Look, from: Option<Place>) -> Answer<(Vec<Run>, Option<Place>)> {
    let (first, last) = keys::all_of(look.fs, look.slot, kind::UNFOLDED);
    let first = from.map_or(first, |at| keys::unfolded(FileId { fs: look.fs, ino: at.ino }, at.offset));
    let mut places = Vec::new();
    let mut next = None;
    map.scan(&first, &last, &mut |key, _| {
        let place = keys::unfolded_at(key).map(|(file, offset)| Place { ino: file.ino, offset });
        if places.len() == look.extents {
            next = place;
            return false;
        }
        places.push(place);
        true
    })?;
    let mut found = Found { map, look, runs: Vec::new(), bytes: 0, file: None };
    for place in places {
        let place = place.ok_or_else(|| MapError::Broken("an extent to be folded has no place".into()))?;
        if !found.take(place)? {
            return Ok((found.runs, Some(place)));
        }
    }
    Ok((found.runs, next))
}

struct Found<'a> {
    map: &'a dyn OrderedMap,
    look: &'a Look,
    runs: Vec<Run>,
    bytes: usize,
    /// The file looked at last, and up to where its bytes may be moved.
    file: Option<(InodeId, u64)>,
}

impl Found<'_> {
    /// Takes one more extent; false when it does not fit any more.
    fn take(&mut self, place: Place) -> Answer<bool> {
        let Place { ino, offset } = place;
        let limit = match self.file {
            Some((last, limit)) if last == ino => limit,
            _ => self.limit_of(ino)?,
        };
        self.file = Some((ino, limit));
        if offset >= limit {
            return Ok(true);
        }
        let value = self.map.get(&keys::extent(FileId { fs: self.look.fs, ino }, offset))?;
        let extent = value.map(|value| Extent::decode(&value)).transpose()?;
        let Some(Extent { source: Source::Inline(content), .. }) = extent else {
            return Err(
                MapError::Broken(format!("the extent of {ino} at {offset} is not to be folded")).into()
            );
        };
        if content.len() > self.look.bytes {
            // Stripes are too short for it now.
            return Ok(true);
        }
        if self.bytes + content.len() > self.look.bytes {
            return Ok(false);
        }
        self.bytes += content.len();
        match self.runs.last_mut() {
            Some(run)
                if run.ino == ino
                    && run.offset + run.length() as u64 == offset
                    && run.parts.len() < relocate::EXTENTS_MAX =>
            {
                run.parts.push(content);
            }
            _ => self.runs.push(Run { ino, offset, parts: vec![content] }),
        }
        Ok(true)
    }

    /// Bytes of the file that may be moved: none of one that goes or has just changed.
    fn limit_of(&self, ino: InodeId) -> Answer<u64> {
        let inode: Option<Inode> =
            reader(self.map, self.look.fs).record(&keys::inode(FileId { fs: self.look.fs, ino }))?;
        let still = |inode: &Inode| {
            self.look.changing.is_none_or(|(from, until)| inode.ctime <= from || inode.ctime > until)
        };
        let Some(inode) = inode.filter(still) else { return Ok(0) };
        Ok(inode.as_file().map_or(0, |body| body.cut.unwrap_or(u64::MAX)))
    }
}
