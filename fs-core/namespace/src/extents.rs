//! Runs of a file's bytes, and the pieces of stripes that they refer to.

use crate::command::{Changed, Failure, NewStripe};
use crate::inodes::{Reader, Step, Work};
use crate::keys;
use crate::records::{Extent, Inode, Piece, Record, Source, Stripe};
use bytes::Bytes;
use map::MapError;
use types::{ByteRange, FsError, InodeId, StripeId};

/// Most extents that one command removes, and most that it adds: one changes up to four keys, the other two.
pub(crate) const EXTENTS_PER_COMMAND: usize = 150;

const _: () = assert!(EXTENTS_PER_COMMAND * (4 + 2) < types::limits::COMMAND_KEYS_MAX);

/// An extent with its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) extent: Extent,
}

impl Run {
    pub(crate) fn range(&self) -> ByteRange {
        ByteRange::new(self.offset, self.extent.length)
    }

    /// The part of the run inside `range`, with its source; `None` when they do not meet.
    pub(crate) fn clip(&self, range: ByteRange) -> Option<Run> {
        let own = self.range();
        let offset = own.offset.max(range.offset);
        let end = own.end.min(range.end);
        if offset >= end {
            return None;
        }
        let skipped = offset - own.offset;
        let length = end - offset;
        let source = match &self.extent.source {
            Source::Unwritten => Source::Unwritten,
            Source::Inline(bytes) => {
                let from = usize::try_from(skipped).unwrap_or(usize::MAX).min(bytes.len());
                let to = usize::try_from(skipped + length).unwrap_or(usize::MAX).min(bytes.len());
                Source::Inline(bytes.slice(from..to))
            }
            &Source::Piece { stripe, piece, within, codec, key_id, raw_length } => {
                // A piece is shorter than 2^32 bytes, and `skipped` is within it.
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "an extent of a piece is no longer than the piece"
                )]
                let within = within.saturating_add(skipped as u32);
                Source::Piece { stripe, piece, within, codec, key_id, raw_length }
            }
        };
        Some(Run { offset, extent: Extent { length, source } })
    }
}

impl Reader<'_> {
    /// The extents of `ino` that meet `range`, whole, in order, at most `limit`.
    pub(crate) fn runs(&self, ino: InodeId, range: ByteRange, limit: usize) -> Result<Vec<Run>, MapError> {
        let file = self.file(ino);
        let mut runs = Vec::new();
        let mut broken = None;
        let mut take = |key: &[u8], value: &[u8]| match (keys::extent_offset(key), Extent::decode(value)) {
            (Some(offset), Ok(extent)) => Some(Run { offset, extent }),
            (_, Err(error)) => {
                broken = Some(error);
                None
            }
            (None, _) => {
                broken = Some(MapError::Broken("an extent's key has no offset".into()));
                None
            }
        };
        let (from, to) = keys::extents(file, 0, range.offset);
        self.map.scan_back(&from, &to, &mut |key, value| {
            runs.extend(take(key, value).filter(|run| run.range().end > range.offset));
            false
        })?;
        let (from, to) = keys::extents(file, range.offset, range.end);
        if runs.len() < limit {
            self.map.scan(&from, &to, &mut |key, value| match take(key, value) {
                Some(run) => {
                    runs.push(run);
                    runs.len() < limit
                }
                None => false,
            })?;
        }
        match broken {
            Some(error) => Err(error),
            None => Ok(runs),
        }
    }
}

impl Work<'_> {
    fn put_run(&mut self, ino: InodeId, run: &Run) {
        self.put(&keys::extent(self.file(ino), run.offset), &run.extent);
    }

    /// Adds a run that overlaps no other, counting its bytes; references are the caller's.
    pub(crate) fn add_run(&mut self, ino: InodeId, inode: &mut Inode, run: &Run) {
        inode.used = inode.used.saturating_add(run.extent.length);
        self.put_run(ino, run);
    }

    /// Makes `range` of the file a hole; the number of extents that were there comes back. More than
    /// `limit`: [`Failure::Split`], and the command does nothing.
    pub(crate) fn punch(
        &mut self,
        ino: InodeId,
        inode: &mut Inode,
        range: ByteRange,
        limit: usize,
    ) -> Step<usize> {
        let runs = self.read().runs(ino, range, limit + 1)?;
        if let Some(excess) = runs.get(limit) {
            return Err(Failure::Split { at: excess.offset.max(range.offset) }.into());
        }
        for run in &runs {
            self.punch_run(ino, inode, run, range)?;
        }
        Ok(runs.len())
    }

    fn punch_run(&mut self, ino: InodeId, inode: &mut Inode, run: &Run, range: ByteRange) -> Step<()> {
        let own = run.range();
        let left = run.clip(ByteRange { offset: own.offset, end: range.offset });
        let right = run.clip(ByteRange { offset: range.end, end: own.end });
        let kept = [&left, &right].into_iter().flatten();
        let gone = run.extent.length - kept.clone().map(|run| run.extent.length).sum::<u64>();
        inode.used = less(inode.used, gone)?;
        if left.is_none() {
            self.map.delete(&keys::extent(self.file(ino), run.offset));
        }
        let references = kept.clone().count();
        for part in kept {
            self.put_run(ino, part);
        }
        match references {
            0 => self.release(&run.extent.source),
            2 => self.refer(&run.extent.source),
            _ => Ok(()),
        }
    }

    fn piece(&self, stripe: StripeId, at: u32) -> Step<(Vec<u8>, Piece)> {
        let key = keys::piece(self.fs, stripe, at);
        let piece = self.read().record(&key)?;
        piece
            .map(|piece| (key, piece))
            .ok_or_else(|| MapError::Broken(format!("stripe {stripe:?} has no piece at {at}")).into())
    }

    /// One more extent refers to the source.
    pub(crate) fn refer(&mut self, source: &Source) -> Step<()> {
        if let Source::Piece { stripe, piece, .. } = source {
            let (key, mut record) = self.piece(*stripe, *piece)?;
            record.references = record.references.checked_add(1).ok_or(FsError::TooManyLinks)?;
            self.put(&key, &record);
        }
        Ok(())
    }

    /// One extent less refers to the source; a stripe without live pieces becomes garbage.
    pub(crate) fn release(&mut self, source: &Source) -> Step<()> {
        let Source::Piece { stripe, piece, .. } = *source else { return Ok(()) };
        let (key, mut record) = self.piece(stripe, piece)?;
        record.references = less(record.references, 1)?;
        if record.references > 0 {
            self.put(&key, &record);
            return Ok(());
        }
        self.map.delete(&key);
        let stripe_key = keys::stripe(self.fs, stripe);
        let mut owner: Stripe = self
            .read()
            .record(&stripe_key)?
            .ok_or_else(|| MapError::Broken(format!("piece of {stripe:?}, which has no record")))?;
        owner.pieces = less(owner.pieces, 1)?;
        owner.live = less(owner.live, record.length)?;
        if owner.pieces > 0 {
            self.put(&stripe_key, &owner);
        } else {
            self.map.delete(&stripe_key);
            self.put(&keys::garbage(self.fs, stripe), &owner);
        }
        Ok(())
    }

    /// Turns content kept in the inode into an extent, so that others can stand beside it.
    pub(crate) fn spill_inline(&mut self, ino: InodeId, inode: &mut Inode) -> Step<()> {
        let Some(content) = inode.as_file_mut()?.inline.take() else { return Ok(()) };
        inode.used = less(inode.used, content.len() as u64)?;
        if !content.is_empty() {
            let extent = Extent { length: content.len() as u64, source: Source::Inline(content) };
            self.add_run(ino, inode, &Run { offset: 0, extent });
        }
        Ok(())
    }

    /// Takes over stripes that a commit brings.
    pub(crate) fn adopt(&mut self, stripes: &[NewStripe]) -> Step<()> {
        for new in stripes {
            let key = keys::stripe(self.fs, new.stripe);
            let known =
                self.map.get(&key)?.is_some() || self.map.get(&keys::garbage(self.fs, new.stripe))?.is_some();
            let granted = self.stripe_counters(InodeId(new.stripe.0).slot())?.stripe;
            if known || InodeId(new.stripe.0).sequence() > granted || new.data_chunks == 0 || new.length == 0
            {
                return Err(FsError::Invalid.into());
            }
            let &NewStripe { group, data_chunks, parity_chunks, cells, length, .. } = new;
            self.put(&key, &Stripe { group, data_chunks, parity_chunks, cells, length, pieces: 0, live: 0 });
        }
        Ok(())
    }

    /// The source of a committed run: inline bytes, or a new piece of a live stripe.
    pub(crate) fn settle_source(&mut self, source: &Changed) -> Step<Source> {
        let &Changed::Stripe { stripe, at, length } = source else {
            let Changed::Inline(bytes) = source else { return Err(FsError::Invalid.into()) };
            return Ok(Source::Inline(bytes.clone()));
        };
        let key = keys::stripe(self.fs, stripe);
        let piece_key = keys::piece(self.fs, stripe, at);
        let mut owner: Stripe = self.read().record(&key)?.ok_or(FsError::Invalid)?;
        let inside = at.checked_add(length).is_some_and(|end| end <= owner.length);
        if !inside || length == 0 || self.map.get(&piece_key)?.is_some() {
            return Err(FsError::Invalid.into());
        }
        owner.pieces = owner.pieces.checked_add(1).ok_or(FsError::Invalid)?;
        owner.live =
            owner.live.checked_add(length).filter(|live| *live <= owner.length).ok_or(FsError::Invalid)?;
        self.put(&key, &owner);
        self.put(&piece_key, &Piece { length, references: 1 });
        Ok(Source::Piece { stripe, piece: at, within: 0, codec: 0, key_id: 0, raw_length: 0 })
    }
}

/// What is left of a count on the drives. One that would fall below nothing is damaged: fail, and free nothing.
pub(crate) fn less<T: Copy + TryFrom<u64>>(count: T, by: T) -> Result<T, MapError>
where
    u64: From<T>,
{
    let left = u64::from(count).checked_sub(u64::from(by));
    left.and_then(|left| T::try_from(left).ok())
        .ok_or_else(|| MapError::Broken("a count would fall below nothing".into()))
}

/// Content cut to `length` bytes.
pub(crate) fn shortened(content: &Bytes, length: u64) -> Bytes {
    content.slice(..content.len().min(usize::try_from(length).unwrap_or(usize::MAX)))
}
