//! Runs of a file's bytes, and the pieces of stripes that they refer to.

use crate::command::{APPENDS_PER_COMMAND, Changed, NewStripe};
use crate::inodes::{Reader, Step, Work};
use crate::keys;
use crate::outcome::Failure;
use crate::records::{Extent, Inode, Piece, Record, Reserved, Source, Stripe, Unfolded};
use bytes::Bytes;
use map::MapError;
use types::{ByteRange, FsError, InodeId, StripeId};

/// Most extents that one command removes, and most that it adds: one changes up to five keys (itself, its piece,
/// its stripe that turns into garbage, the account of that one's slot), the other two.
pub(crate) const EXTENTS_PER_COMMAND: usize = 130;
/// Most stripes that one command brings, and most runs of a file that it makes.
pub const STRIPES_PER_COMMAND: usize = 16;
/// Keys that a command changes beside: inodes, counters, accounts, attributes, its replay.
const KEYS_BESIDE: usize = 20;

const _: () = assert!(
    EXTENTS_PER_COMMAND * (5 + 2) + STRIPES_PER_COMMAND * 2 + APPENDS_PER_COMMAND + KEYS_BESIDE
        < types::limits::COMMAND_KEYS_MAX
);

/// An extent with its offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) extent: Extent,
}

impl Run {
    fn decode(key: &[u8], value: &[u8]) -> Result<Run, MapError> {
        let offset = keys::extent_offset(key);
        let offset = offset.ok_or_else(|| MapError::Broken("an extent's key has no offset".into()))?;
        Ok(Run { offset, extent: Extent::decode(value)? })
    }

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
        let mut before = None;
        let (from, to) = keys::extents(self.file(ino), 0, range.offset);
        self.map.scan_back(&from, &to, &mut |key, value| {
            before = Some(Run::decode(key, value));
            false
        })?;
        let straddles = |run: &Run| run.range().end > range.offset;
        let mut runs: Vec<Run> = before.transpose()?.into_iter().filter(straddles).collect();
        if runs.len() < limit {
            self.add_runs(ino, range, limit, &mut runs)?;
        }
        Ok(runs)
    }

    /// The extents of `ino` that begin at or after `from`, in order, at most `limit`.
    pub(crate) fn runs_from(&self, ino: InodeId, from: u64, limit: usize) -> Result<Vec<Run>, MapError> {
        let mut runs = Vec::new();
        self.add_runs(ino, ByteRange { offset: from, end: u64::MAX }, limit, &mut runs)?;
        Ok(runs)
    }

    fn add_runs(
        &self,
        ino: InodeId,
        within: ByteRange,
        limit: usize,
        runs: &mut Vec<Run>,
    ) -> Result<(), MapError> {
        let mut broken = Ok(());
        let (from, to) = keys::extents(self.file(ino), within.offset, within.end);
        self.map.scan(&from, &to, &mut |key, value| match Run::decode(key, value) {
            Ok(run) => {
                runs.push(run);
                runs.len() < limit
            }
            Err(error) => {
                broken = Err(error);
                false
            }
        })?;
        broken
    }
}

impl Work<'_> {
    fn put_run(&mut self, ino: InodeId, run: &Run) {
        let file = self.file(ino);
        self.put(&keys::extent(file, run.offset), &run.extent);
        match &run.extent.source {
            Source::Inline(content) => {
                // At most 16 KiB.
                self.put(&keys::unfolded(file, run.offset), &Unfolded { bytes: content.len() as u32 });
                let account = self.gain(ino.slot());
                account.unfolded += 1;
                account.unfolded_bytes += content.len() as u64;
            }
            Source::Unwritten => {
                let bytes = run.extent.length;
                self.put(&keys::reserved(file, run.offset), &Reserved { bytes });
                let account = self.gain(ino.slot());
                account.reserved = account.reserved.saturating_add(bytes);
            }
            Source::Piece { .. } => {}
        }
    }

    fn take_run(&mut self, ino: InodeId, run: &Run) {
        let file = self.file(ino);
        self.map.delete(&keys::extent(file, run.offset));
        match &run.extent.source {
            Source::Inline(content) => {
                self.map.delete(&keys::unfolded(file, run.offset));
                let account = self.lose(ino.slot());
                account.unfolded += 1;
                account.unfolded_bytes += content.len() as u64;
            }
            Source::Unwritten => {
                self.map.delete(&keys::reserved(file, run.offset));
                let account = self.lose(ino.slot());
                account.reserved = account.reserved.saturating_add(run.extent.length);
            }
            Source::Piece { .. } => {}
        }
    }

    /// Changes the bytes that the file uses to `used`.
    pub(crate) fn set_used(&mut self, ino: InodeId, inode: &mut Inode, used: u64) {
        self.change_used(ino.slot(), inode.used, used);
        inode.used = used;
    }

    /// Adds a run that overlaps no other, counting its bytes; references are the caller's.
    pub(crate) fn add_run(&mut self, ino: InodeId, inode: &mut Inode, run: &Run) {
        self.set_used(ino, inode, inode.used.saturating_add(run.extent.length));
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

    /// Makes the part of `run`, an extent of the file, that is in `range` a hole.
    pub(crate) fn punch_run(
        &mut self,
        ino: InodeId,
        inode: &mut Inode,
        run: &Run,
        range: ByteRange,
    ) -> Step<()> {
        let own = run.range();
        let left = run.clip(ByteRange { offset: own.offset, end: range.offset });
        let right = run.clip(ByteRange { offset: range.end, end: own.end });
        let kept = [&left, &right].into_iter().flatten();
        let gone = run.extent.length - kept.clone().map(|run| run.extent.length).sum::<u64>();
        self.set_used(ino, inode, less(inode.used, gone)?);
        self.take_run(ino, run);
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
        let slot = InodeId(stripe.0).slot();
        if owner.pieces > 1 {
            owner.pieces -= 1;
            owner.live = less(owner.live, record.length)?;
            self.put(&stripe_key, &owner);
            self.lose(slot).live += u64::from(record.length);
        } else {
            self.lose(slot).add_live(&owner);
            owner.pieces = less(owner.pieces, 1)?;
            owner.live = less(owner.live, record.length)?;
            self.map.delete(&stripe_key);
            self.put(&keys::garbage(self.fs, stripe), &owner);
            self.gain(slot).add_garbage(&owner);
        }
        Ok(())
    }

    /// Turns content kept in the inode into an extent, so that others can stand beside it.
    pub(crate) fn spill_inline(&mut self, ino: InodeId, inode: &mut Inode) -> Step<()> {
        let Some(content) = inode.as_file_mut()?.inline.take() else { return Ok(()) };
        self.set_used(ino, inode, less(inode.used, content.len() as u64)?);
        if !content.is_empty() {
            let extent = Extent { length: content.len() as u64, source: Source::Inline(content) };
            self.add_run(ino, inode, &Run { offset: 0, extent });
        }
        Ok(())
    }

    /// Takes over stripes that a commit brings.
    pub(crate) fn adopt(&mut self, stripes: &[NewStripe]) -> Step<()> {
        if stripes.len() > STRIPES_PER_COMMAND {
            return Err(FsError::Invalid.into());
        }
        for new in stripes {
            let key = keys::stripe(self.fs, new.stripe);
            let known =
                self.map.get(&key)?.is_some() || self.map.get(&keys::garbage(self.fs, new.stripe))?.is_some();
            let granted = self.stripe_counters(InodeId(new.stripe.0).slot())?.stripe;
            let buried = self.map.get(&keys::buried(new.stripe))?.is_some();
            if known
                || buried
                || InodeId(new.stripe.0).sequence() > granted
                || new.data_chunks == 0
                || new.length == 0
            {
                return Err(FsError::Invalid.into());
            }
            let &NewStripe { group, data_chunks, parity_chunks, cells, length, .. } = new;
            let stripe = Stripe { group, data_chunks, parity_chunks, cells, length, pieces: 0, live: 0 };
            self.put(&key, &stripe);
            self.gain(InodeId(new.stripe.0).slot()).add_live(&stripe);
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
        self.gain(InodeId(stripe.0).slot()).live += u64::from(length);
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
