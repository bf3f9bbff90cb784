//! Extents that refer to stripes, to find out what of a stripe is needed still and to move it to another.

use super::unfolded::Place;
use super::{Answer, reader};
use crate::command::Seen;
use crate::keys::{self, kind};
use crate::records::{Extent, Inode, Piece, Record, Source};
use map::{MapError, OrderedMap};
use types::{FileId, FsId, InodeId, Slot, StripeId};

/// Bytes of a file that are in a stripe of the file's own slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The file.
    pub ino: InodeId,
    /// Where in it.
    pub offset: u64,
    /// How many.
    pub length: u32,
    /// The stripe.
    pub stripe: StripeId,
    /// Where its piece begins.
    pub piece: u32,
    /// The first byte in the piece.
    pub within: u32,
}

impl Part {
    /// What a command that moves it has to find in its place.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen::Piece { stripe: self.stripe, piece: self.piece, within: self.within }
    }

    /// The first byte in the stripe.
    #[must_use]
    pub fn at(&self) -> u32 {
        self.piece.saturating_add(self.within)
    }
}

/// The parts among the next `limit` extents of a slot, from `from` on, and where to go on; `None` at the end.
///
/// # Errors
/// Those of the map.
pub fn parts(
    map: &dyn OrderedMap,
    fs: FsId,
    slot: Slot,
    from: Option<Place>,
    limit: usize,
) -> Answer<(Vec<Part>, Option<Place>)> {
    let (first, last) = keys::all_of(fs, slot, kind::EXTENT);
    let first = from.map_or(first, |at| keys::extent(FileId { fs, ino: at.ino }, at.offset));
    let (mut found, mut next, mut seen) = (Vec::new(), None, 0);
    let mut outcome = Ok(());
    map.scan(&first, &last, &mut |key, value| {
        let place = keys::unfolded_at(key).map(|(file, offset)| Place { ino: file.ino, offset });
        if seen == limit {
            next = place;
            return false;
        }
        seen += 1;
        outcome = part(place, value).map(|part| found.extend(part.filter(|part| is_of(part, slot))));
        outcome.is_ok()
    })?;
    outcome?;
    let mut file = None;
    let mut stay = Vec::with_capacity(found.len());
    for part in found {
        let limit = match file {
            Some((last, limit)) if last == part.ino => limit,
            _ => kept_of(map, FileId { fs, ino: part.ino })?,
        };
        file = Some((part.ino, limit));
        if part.offset.saturating_add(u64::from(part.length)) <= limit {
            stay.push(part);
        }
    }
    Ok((stay, next))
}

/// How many extents, of whichever slot, refer to a stripe.
///
/// # Errors
/// Those of the map.
pub fn references(map: &dyn OrderedMap, fs: FsId, stripe: StripeId) -> Answer<u64> {
    let (first, last) = (keys::piece(fs, stripe, 0), keys::piece(fs, stripe, u32::MAX));
    let (mut sum, mut outcome) = (0u64, Ok(()));
    map.scan(&first, &last, &mut |_, value| {
        outcome = Piece::decode(value).map(|piece| sum = sum.saturating_add(u64::from(piece.references)));
        outcome.is_ok()
    })?;
    outcome?;
    Ok(sum)
}

fn is_of(part: &Part, slot: Slot) -> bool {
    InodeId(part.stripe.0).slot() == slot
}

fn part(place: Option<Place>, value: &[u8]) -> Result<Option<Part>, MapError> {
    let Place { ino, offset } = place.ok_or_else(|| MapError::Broken("an extent has no place".into()))?;
    let Extent { length, source } = Extent::decode(value)?;
    let Source::Piece { stripe, piece, within, .. } = source else { return Ok(None) };
    let length =
        u32::try_from(length).map_err(|_| MapError::Broken("an extent is longer than its stripe".into()))?;
    Ok(Some(Part { ino, offset, length, stripe, piece, within }))
}

/// Bytes of the file that stay: what is beyond is about to be removed.
fn kept_of(map: &dyn OrderedMap, file: FileId) -> Answer<u64> {
    let inode: Option<Inode> = reader(map, file.fs).record(&keys::inode(file))?;
    let Some(inode) = inode else { return Ok(0) };
    Ok(inode.as_file().map_or(0, |body| body.cut.unwrap_or(u64::MAX)))
}
