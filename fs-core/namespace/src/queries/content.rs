//! Where the bytes of a file are.

use super::{Answer, reader};
use crate::extents::Run;
use crate::keys;
use crate::records::{Inode, Source, Stripe};
use bytes::Bytes;
use map::{MapError, OrderedMap};
use types::{ByteRange, FileId, StripeId};

/// A run of bytes; what no run covers is a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which bytes of the file.
    pub range: ByteRange,
    /// Where they are.
    pub place: Place,
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Reserved, reads as zeros.
    Unwritten,
    /// Here.
    Inline(Bytes),
    /// In a stripe, from byte `at`.
    Stripe {
        /// Which.
        stripe: StripeId,
        /// Its record.
        record: Stripe,
        /// The first byte in it.
        at: u32,
    },
}

/// The runs of `file` in `range`, clipped to it and to the file's size, at most `limit`; with the end of
/// what they tell about (less than `range.end` when there are more).
///
/// # Errors
/// [`types::FsError::Stale`], or of the kind.
pub fn locate(
    map: &dyn OrderedMap,
    file: FileId,
    inode: &Inode,
    range: ByteRange,
    limit: usize,
) -> Answer<(Vec<Located>, u64)> {
    let read = reader(map, file.fs);
    let body = inode.as_file()?;
    let end = inode.size.min(range.end).min(body.cut.unwrap_or(u64::MAX));
    let range = ByteRange { offset: range.offset, end: end.max(range.offset) };
    if range.is_empty() {
        return Ok((Vec::new(), u64::MAX));
    }
    if let Some(content) = &body.inline {
        let end = (content.len() as u64).min(range.end);
        let (Ok(from), Ok(to)) = (usize::try_from(range.offset), usize::try_from(end)) else {
            return Ok((Vec::new(), u64::MAX));
        };
        if from >= to {
            return Ok((Vec::new(), u64::MAX));
        }
        let place = Place::Inline(content.slice(from..to));
        return Ok((vec![Located { range: ByteRange { offset: range.offset, end }, place }], u64::MAX));
    }
    let mut runs = read.runs(file.ino, range, limit + 1)?;
    let told = if runs.len() > limit { runs.pop().map_or(u64::MAX, |run| run.offset) } else { u64::MAX };
    let located = runs
        .iter()
        .filter_map(|run| run.clip(range))
        .map(|run| place(&read, run))
        .collect::<Answer<Vec<_>>>()?;
    Ok((located, told))
}

fn place(read: &crate::inodes::Reader<'_>, run: Run) -> Answer<Located> {
    let range = run.range();
    let place = match run.extent.source {
        Source::Unwritten => Place::Unwritten,
        Source::Inline(bytes) => Place::Inline(bytes),
        Source::Piece { stripe, piece, within, codec: 0, key_id: 0, raw_length: 0 } => {
            let record: Option<Stripe> = read.record(&keys::stripe(read.fs, stripe))?;
            let record = record
                .ok_or_else(|| MapError::Broken(format!("extent in {stripe:?}, which has no record")))?;
            Place::Stripe { stripe, record, at: piece.saturating_add(within) }
        }
        Source::Piece { stripe, .. } => {
            return Err(MapError::Broken(format!(
                "extent in {stripe:?} has a codec that this version does not know"
            ))
            .into());
        }
    };
    Ok(Located { range, place })
}
