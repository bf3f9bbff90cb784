//! Write-back: what waits goes to stripes, and then becomes part of the file.

mod whole_file;

use crate::dirty::{Dirty, join};
use crate::laying::Laid;
use crate::nodes::{Held, Node, State};
use crate::propose::{TRIES, unexpected, whole};
use crate::{Frontend, PlacedStripe, Purpose, Shards, StripeError, Stripes};
use bytes::{Bytes, BytesMut};
use namespace::records::{Body, Inode};
use namespace::{APPENDS_PER_COMMAND, Action, Append, Appended, Changed, Extent, Failure, NewStripe, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;
use types::limits::{INLINE_FILE_BYTES_MAX, INLINE_WRITE_BYTES_MAX};
use types::{ByteRange, Cred, FileId, FsError, InodeId, RequestId};

/// Extents of one command; a machine accepts somewhat more.
const EXTENTS_PER_COMMAND: usize = 128;
/// Stripes of one file that are written at the same time.
const STRIPES_AT_ONCE: usize = 4;

/// Stripes with the extents that refer to them, to be committed together.
#[derive(Clone, Default)]
struct Batch {
    stripes: Vec<NewStripe>,
    extents: Vec<Extent>,
    /// The whole content, instead.
    inline: Option<Bytes>,
    /// Held until the command has its answer.
    laid: Option<Arc<Laid>>,
}

impl Batch {
    /// Bytes that stay with the metadata until they are folded.
    fn bytes_kept(&self) -> u64 {
        let kept = |extent: &&Extent| matches!(extent.source, Changed::Inline(_));
        self.extents.iter().filter(kept).map(Extent::length).sum()
    }
}

/// Appends of a write-back of which no command has said yet that all of them is there.
struct Unnoted(Vec<(RequestId, ByteRange)>);

impl Unnoted {
    fn of(dirty: &Dirty) -> Unnoted {
        Unnoted(dirty.appends().collect())
    }

    /// What the command that commits `batch` says of them; with the last everything is in the file.
    fn with(&self, batch: &Batch, last: bool) -> Vec<Append> {
        let begin = batch.extents.first().map_or(0, |extent| extent.offset);
        let end = batch.extents.last().map_or(0, |extent| extent.offset + extent.length());
        let meets = |(_, range): &&(RequestId, ByteRange)| last || range.offset < end && range.end > begin;
        let append = |&(request, range): &(RequestId, ByteRange)| {
            let bytes = if last { range.len() } else { end.min(range.end) - range.offset };
            let done = Appended { offset: range.offset, bytes, whole: bytes == range.len() };
            Append { request, done }
        };
        self.0.iter().filter(meets).map(append).take(APPENDS_PER_COMMAND).collect()
    }

    fn noted(&mut self, noted: &[Append]) {
        let is_whole = |request: &RequestId| noted.iter().any(|a| a.request == *request && a.done.whole);
        self.0.retain(|(request, _)| !is_whole(request));
    }
}

/// What became of a commit.
enum Committed {
    /// It took effect; the change attribute.
    Done(u64),
    /// It has to be split at this offset of the file.
    SplitAt(u64),
}

/// A stripe to write, and the runs of the file that it holds.
struct Packed {
    data: Bytes,
    /// Offset in the file, offset in the stripe, bytes.
    runs: Vec<(u64, u32, u32)>,
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Makes everything durable that was written to the file before the call. Goes on to the end when the
    /// caller gives up.
    pub(crate) async fn flush(&self, node: &Held) -> Result<(), FsError> {
        if node.state.lock().is_clean() {
            return Ok(());
        }
        let (this, node) = (self.clone(), node.clone());
        whole(async move {
            let _one = node.flushing.lock().await;
            this.flush_held(&node).await
        })
        .await
    }

    /// As [`Self::flush`], for who holds `flushing`.
    pub(crate) async fn flush_held(&self, node: &Node) -> Result<(), FsError> {
        let (taken, change_at_least) = {
            let mut state = node.state.lock();
            state.queued = false;
            self.gather(&mut state);
            if state.is_clean() {
                return Ok(());
            }
            let taken = std::mem::take(&mut state.dirty);
            state.in_flight = Some(taken.clone());
            state.dirty_since = None;
            (taken, state.change_seen)
        };
        let result = self.write_back(node.file, &taken, change_at_least).await;
        self.0.written_back.fetch_add(1, Ordering::AcqRel);
        let mut state = node.state.lock();
        state.left += 1;
        match result {
            Ok(change) => {
                // Nothing when the file was removed meanwhile, and what waited with it.
                let kept = state.in_flight.take().map_or(0, |dirty| dirty.cost());
                self.0.dirty_bytes.fetch_sub(kept, Ordering::Relaxed);
                self.promise(&mut state);
                state.failures = 0;
                state.change_kept = state.change_kept.max(change);
                if !state.is_clean() {
                    state.dirty_since.get_or_insert_with(|| self.0.clock.monotonic());
                }
                Ok(())
            }
            Err(FsError::Stale) => {
                self.forget_waiting(&mut state);
                Ok(())
            }
            Err(error) => {
                self.gather(&mut state);
                state.failures = state.failures.saturating_add(1);
                state.dirty_since = (!state.is_clean()).then(|| self.0.clock.monotonic());
                tracing::warn!(file = %node.file, %error, "write-back failed; the data are kept and tried again");
                Err(error)
            }
        }
    }

    /// Puts what a write-back has taken and not kept back under what was written since.
    fn gather(&self, state: &mut State) {
        let Some(mut taken) = state.in_flight.take() else { return };
        let before = taken.cost() + state.dirty.cost();
        taken.merge(std::mem::take(&mut state.dirty));
        state.dirty = taken;
        let after = state.dirty.cost();
        self.0.dirty_bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        self.promise(state);
    }

    /// Forgets what waits, because nobody can read it any more.
    pub(crate) fn discard(&self, node: &Node) {
        self.forget_waiting(&mut node.state.lock());
    }

    fn forget_waiting(&self, state: &mut State) {
        state.changes += 1;
        let taken = state.in_flight.take().map_or(0, |dirty| dirty.cost());
        let waiting = std::mem::take(&mut state.dirty).cost();
        self.0.dirty_bytes.fetch_sub(taken + waiting, Ordering::Relaxed);
        self.promise(state);
        state.dirty_since = None;
        state.change_seen = 0;
        state.change_kept = 0;
    }

    /// The file was cut or extended in the map: so are the data that wait. Only while nothing is under way.
    pub(crate) fn resize_waiting(&self, state: &mut State, size: u64) {
        self.gather(state);
        state.changes += 1;
        let before = state.dirty.cost();
        state.dirty.resized(size);
        self.0.dirty_bytes.fetch_sub(before - state.dirty.cost().min(before), Ordering::Relaxed);
        self.promise(state);
    }

    /// Writes all of `dirty`; the file's change attribute afterwards comes back.
    async fn write_back(&self, file: FileId, dirty: &Dirty, change_at_least: u64) -> Result<u64, FsError> {
        let inode = self.inode(file).await?;
        let first = Action::Commit {
            ino: file.ino,
            stripes: Vec::new(),
            extents: Vec::new(),
            inline: None,
            size_at_least: 0,
            change_at_least,
            written: dirty.written,
            drop_privileges: false,
        };
        let batches = match as_inline(&inode, dirty) {
            Some(content) => VecDeque::from([Batch { inline: Some(content), ..Batch::default() }]),
            None => self.place(file, dirty).await?,
        };
        self.commit_batches(file, first, batches, Unnoted::of(dirty)).await
    }

    /// Puts what waits where it can stay: small amounts into the command, the rest into stripes.
    async fn place(&self, file: FileId, dirty: &Dirty) -> Result<VecDeque<Batch>, FsError> {
        let stretches = dirty.stretches();
        if stretches.is_empty() {
            return Ok(VecDeque::from([Batch::default()]));
        }
        if dirty.bytes() <= INLINE_WRITE_BYTES_MAX as u64 {
            let inline = |(offset, runs)| Extent { offset, source: Changed::Inline(join(runs)) };
            let extents: Vec<Extent> = stretches.into_iter().map(inline).collect();
            let batch = |extents: &[Extent]| Batch { extents: extents.to_vec(), ..Batch::default() };
            return Ok(extents.chunks(EXTENTS_PER_COMMAND).map(batch).collect());
        }
        let mut writes = JoinSet::new();
        let mut batches = VecDeque::new();
        let mut failed = None;
        let mut packed = pack(stretches, self.0.stripes.stripe_bytes_max()).into_iter();
        loop {
            while failed.is_none()
                && writes.len() < STRIPES_AT_ONCE
                && let Some(Packed { data, runs }) = packed.next()
            {
                let this = self.clone();
                writes.spawn(async move { this.write_packed(file, Packed { data, runs }).await });
            }
            match writes.join_next().await {
                Some(Ok((written, result))) => {
                    batches.extend(written);
                    failed = failed.or(result.err());
                }
                Some(Err(_)) => failed = Some(FsError::Io),
                None => break,
            }
        }
        match failed {
            None => Ok(batches),
            Some(error) => {
                self.give_up(&batches).await;
                Err(error)
            }
        }
    }

    /// Writes what was laid out for one stripe: as one, or as several shorter ones where drives are away.
    /// What was written comes back also beside an error.
    async fn write_packed(&self, file: FileId, packed: Packed) -> (Vec<Batch>, Result<(), FsError>) {
        let mut written = Vec::new();
        let mut rest = VecDeque::from([packed]);
        while let Some(packed) = rest.pop_front() {
            let laid = match self.stripe_id(file).await {
                Ok(laid) => laid,
                Err(error) => return (written, Err(error)),
            };
            match self.0.stripes.write(Purpose::Promised, file.fs, laid.stripe, packed.data.clone()).await {
                Ok(place) => written.extend(batches_of(place, Arc::new(laid), &packed.runs)),
                Err(StripeError::Narrow { bytes_max }) if (1..packed.data.len()).contains(&bytes_max) => {
                    packed.cut(bytes_max).into_iter().rev().for_each(|part| rest.push_front(part));
                }
                Err(error) => return (written, Err(data_error(error))),
            }
        }
        (written, Ok(()))
    }

    async fn commit_batches(
        &self,
        file: FileId,
        first: Action,
        mut batches: VecDeque<Batch>,
        mut appends: Unnoted,
    ) -> Result<u64, FsError> {
        // Stripes are done in any order. What a crash leaves of appends shall be their beginnings.
        batches.make_contiguous().sort_by_key(|batch| batch.extents.first().map(|extent| extent.offset));
        let (mut times, mut change, mut write_time) = (0, 0, true);
        while let Some(batch) = batches.pop_front() {
            let mut action = first.clone();
            if let Action::Commit { stripes, extents, inline, written, .. } = &mut action {
                stripes.clone_from(&batch.stripes);
                extents.clone_from(&batch.extents);
                inline.clone_from(&batch.inline);
                // One write-back is one change, however many commands it takes.
                *written = written.filter(|_| write_time);
            }
            let noted = appends.with(&batch, batches.is_empty());
            let (error, refused) = match self.commit_action(file, action, &noted).await {
                Ok(Committed::Done(now)) => {
                    self.0.ledger.kept(batch.bytes_kept());
                    (times, change, write_time) = (0, now, false);
                    appends.noted(&noted);
                    // More of them than one command can note.
                    if batches.is_empty() && !appends.0.is_empty() {
                        batches.push_back(Batch::default());
                    }
                    continue;
                }
                Ok(Committed::SplitAt(at)) if times < TRIES => {
                    times += 1;
                    match batch.split(at) {
                        Ok((before, after)) => {
                            batches.push_front(after);
                            batches.push_front(before);
                            continue;
                        }
                        Err(batch) => (FsError::Io, Some(batch)),
                    }
                }
                Ok(Committed::SplitAt(_)) => (FsError::Delay, Some(batch)),
                // It may yet take effect: its stripes must stay.
                Err(error @ (FsError::Delay | FsError::Uncertain)) => (error, None),
                Err(error) => (error, Some(batch)),
            };
            batches.extend(refused);
            self.give_up(&batches).await;
            return Err(error);
        }
        Ok(change)
    }

    /// Frees the stripes of batches that were never proposed, or were refused.
    async fn give_up(&self, batches: &VecDeque<Batch>) {
        let new = batches.iter().flat_map(|batch| &batch.stripes);
        let places: Vec<PlacedStripe> = new.map(PlacedStripe::of_new).collect();
        self.free_unneeded(&places).await;
    }

    async fn commit_action(
        &self,
        file: FileId,
        action: Action,
        appends: &[Append],
    ) -> Result<Committed, FsError> {
        // On nobody's behalf but with nobody's privileges: the writer's right was decided at its write.
        let nobody = vfs::Ctx::new(Cred::user(u32::MAX, u32::MAX));
        for _ in 0..TRIES {
            match self.outcome_with(&nobody, file.fs, action.clone(), appends.to_vec()).await? {
                Ok(Reply::Attr { attr, .. }) => return Ok(Committed::Done(attr.change)),
                Ok(reply) => return Err(unexpected(&reply)),
                Err(Failure::Split { at }) => return Ok(Committed::SplitAt(at)),
                Err(Failure::DrainFirst) => self.drain(file).await?,
                Err(Failure::Fs(error)) => return Err(error),
                Err(Failure::Moved) => return Err(FsError::Io),
            }
        }
        Err(FsError::Delay)
    }
}

/// What a caller hears of an error of the data plane.
pub(crate) fn data_error(error: StripeError) -> FsError {
    match error {
        StripeError::NoSpace => FsError::NoSpace,
        error => {
            tracing::error!(%error, "data plane");
            FsError::Io
        }
    }
}

/// The whole content of a file that is and stays small.
fn as_inline(inode: &Inode, dirty: &Dirty) -> Option<Bytes> {
    let Body::File(body) = &inode.body else { return None };
    let old = body.inline.as_ref()?;
    let end = dirty.end.max(old.len() as u64);
    if end > INLINE_FILE_BYTES_MAX as u64 {
        return None;
    }
    let mut content = BytesMut::from(&old[..]);
    for (offset, runs) in dirty.stretches() {
        let data = join(runs);
        // Below the limit of an inline file, checked above.
        let at = offset as usize;
        content.resize(content.len().max(at + data.len()), 0);
        content[at..at + data.len()].copy_from_slice(&data);
    }
    Some(content.freeze())
}

impl Packed {
    /// The same for stripes of up to `max` bytes.
    fn cut(self, max: usize) -> Vec<Packed> {
        let Packed { data, runs } = self;
        let part = |at: u32, length: u32| data.slice(at as usize..(at + length) as usize);
        let stretches = runs.into_iter().map(|(offset, at, length)| (offset, vec![part(at, length)]));
        pack(stretches.collect(), max)
    }
}

/// Lays stretches one after the other into stripes of up to `max` bytes.
fn pack(stretches: Vec<(u64, Vec<Bytes>)>, max: usize) -> Vec<Packed> {
    let mut stripes = Vec::new();
    let mut parts: Vec<Bytes> = Vec::new();
    let mut runs: Vec<(u64, u32, u32)> = Vec::new();
    let mut filled = 0usize;
    let mut close = |parts: &mut Vec<Bytes>, runs: &mut Vec<_>, filled: &mut usize| {
        if !parts.is_empty() {
            stripes.push(Packed { data: join(std::mem::take(parts)), runs: std::mem::take(runs) });
            *filled = 0;
        }
    };
    for (offset, buffers) in stretches {
        let mut at = offset;
        for mut buffer in buffers {
            while !buffer.is_empty() {
                if filled == max {
                    close(&mut parts, &mut runs, &mut filled);
                }
                let part = buffer.split_to(buffer.len().min(max - filled));
                // A stripe is at most 16 MiB long.
                let (within, length) = (filled as u32, part.len() as u32);
                match runs.last_mut() {
                    Some((start, _, bytes)) if *start + u64::from(*bytes) == at => *bytes += length,
                    _ => runs.push((at, within, length)),
                }
                at += u64::from(length);
                filled += part.len();
                parts.push(part);
            }
        }
    }
    close(&mut parts, &mut runs, &mut filled);
    stripes
}

fn batches_of(place: PlacedStripe, laid: Arc<Laid>, runs: &[(u64, u32, u32)]) -> Vec<Batch> {
    let (stripe, new) = (place.stripe, place.as_new());
    let extent = |&(offset, at, length): &(u64, u32, u32)| Extent {
        offset,
        source: Changed::Stripe { stripe, at, length },
    };
    let batch = |(i, runs): (usize, &[_])| Batch {
        stripes: if i == 0 { vec![new.clone()] } else { Vec::new() },
        extents: runs.iter().map(extent).collect(),
        inline: None,
        laid: Some(laid.clone()),
    };
    runs.chunks(EXTENTS_PER_COMMAND).enumerate().map(batch).collect()
}

impl Batch {
    /// Two batches, before and after the offset `at` of the file; the same one if either would be empty.
    fn split(self, at: u64) -> Result<(Batch, Batch), Batch> {
        let begins = |extent: &Extent| extent.offset < at;
        let ends = |extent: &Extent| extent.offset + extent.length() > at;
        if !self.extents.iter().any(begins) || !self.extents.iter().any(ends) {
            return Err(self);
        }
        let mut before = Batch { laid: self.laid.clone(), ..Batch::default() };
        let mut after = Batch { laid: self.laid, ..Batch::default() };
        for extent in self.extents {
            if !ends(&extent) {
                before.extents.push(extent);
            } else if !begins(&extent) {
                after.extents.push(extent);
            } else {
                let (left, right) = cut(extent, at);
                before.extents.push(left);
                after.extents.push(right);
            }
        }
        let used = |extents: &[Extent], new: &NewStripe| {
            extents.iter().any(|e| matches!(e.source, Changed::Stripe { stripe, .. } if stripe == new.stripe))
        };
        for new in self.stripes {
            if used(&before.extents, &new) { before.stripes.push(new) } else { after.stripes.push(new) }
        }
        Ok((before, after))
    }
}

fn cut(extent: Extent, at: u64) -> (Extent, Extent) {
    let left = at - extent.offset;
    let (first, second) = match extent.source {
        Changed::Inline(mut bytes) => {
            let rest = bytes.split_off(crate::dirty::position(left));
            (Changed::Inline(bytes), Changed::Inline(rest))
        }
        Changed::Stripe { stripe, at, length } => {
            // `at` lies inside the extent, which is shorter than 2^32 bytes.
            let left = left as u32;
            (
                Changed::Stripe { stripe, at, length: left },
                Changed::Stripe { stripe, at: at + left, length: length - left },
            )
        }
    };
    (Extent { offset: extent.offset, source: first }, Extent { offset: at, source: second })
}

/// An inode that no file has, for commands that shall find nothing.
pub(crate) const NO_INODE: InodeId = InodeId(0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_every_byte_in_its_place(
            lengths in prop::collection::vec((1usize..40, 0u64..5), 1..20), max in 1usize..64,
        ) {
            let (mut stretches, mut at) = (Vec::new(), 0);
            for (length, gap) in lengths {
                at += gap + 1;
                let data: Vec<u8> = (at..at + length as u64).map(|i| i as u8).collect();
                stretches.push((at, vec![Bytes::from(data)]));
                at += length as u64;
            }
            let total: usize = stretches.iter().map(|(_, runs)| runs[0].len()).sum();
            let mut seen = 0;
            for packed in pack(stretches, max) {
                prop_assert!(packed.data.len() <= max);
                for (offset, within, length) in packed.runs {
                    for i in 0..length {
                        prop_assert_eq!(packed.data[(within + i) as usize], (offset + u64::from(i)) as u8);
                    }
                    seen += length as usize;
                }
            }
            prop_assert_eq!(seen, total);
        }
    }
}
