//! Write-back: what waits goes to stripes, and then becomes part of the file.

use crate::dirty::{Dirty, join};
use crate::nodes::Node;
use crate::propose::{TRIES, unexpected};
use crate::{Frontend, PlacedStripe, Shards, StripeError, Stripes};
use bytes::{Bytes, BytesMut};
use namespace::records::{Body, Inode};
use namespace::{Action, Changed, Extent, Failure, NewStripe, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::task::JoinSet;
use types::limits::{INLINE_FILE_BYTES_MAX, INLINE_WRITE_BYTES_MAX};
use types::{Cred, FileId, FsError, InodeId};

/// Extents of one command; a machine accepts somewhat more.
const EXTENTS_PER_COMMAND: usize = 128;
/// Stripes of one file that are written at the same time.
const STRIPES_AT_ONCE: usize = 4;

/// Stripes with the extents that refer to them, to be committed together.
#[derive(Default)]
struct Batch {
    stripes: Vec<NewStripe>,
    extents: Vec<Extent>,
}

/// A stripe to write, and the runs of the file that it holds.
struct Packed {
    data: Bytes,
    /// Offset in the file, offset in the stripe, bytes.
    runs: Vec<(u64, u32, u32)>,
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// Makes everything durable that was written to the file before the call.
    pub(crate) async fn flush(&self, node: &Arc<Node>) -> Result<(), FsError> {
        let _one = node.flushing.lock().await;
        self.flush_held(node).await
    }

    /// As [`Self::flush`], for who holds `flushing`.
    pub(crate) async fn flush_held(&self, node: &Node) -> Result<(), FsError> {
        let taken = {
            let mut state = node.state.lock();
            if let Some(error) = state.lost.take() {
                return Err(error);
            }
            if state.dirty.is_empty() {
                return Ok(());
            }
            let taken = std::mem::take(&mut state.dirty);
            state.in_flight = Some(taken.clone());
            state.dirty_since = None;
            taken
        };
        let result = self.write_back(node, &taken).await;
        let mut state = node.state.lock();
        state.in_flight = None;
        match result {
            Ok(()) | Err(FsError::Stale) => {
                self.0.dirty_bytes.fetch_sub(taken.bytes(), Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                let bytes_before = taken.bytes() + state.dirty.bytes();
                let later = std::mem::replace(&mut state.dirty, taken);
                state.dirty.merge(later);
                self.0.dirty_bytes.fetch_sub(bytes_before - state.dirty.bytes(), Ordering::Relaxed);
                state.dirty_since = Some(self.0.clock.monotonic());
                tracing::warn!(file = %node.file, %error, "write-back failed; the data are kept and tried again");
                Err(error)
            }
        }
    }

    /// Forgets what waits, because nobody can read it any more.
    pub(crate) fn discard(&self, node: &Node) {
        let mut state = node.state.lock();
        self.0.dirty_bytes.fetch_sub(state.dirty.bytes(), Ordering::Relaxed);
        state.dirty = Dirty::default();
        state.dirty_since = None;
        state.lost = None;
    }

    async fn write_back(&self, node: &Node, dirty: &Dirty) -> Result<(), FsError> {
        let inode = self.inode(node.file)?;
        let change_at_least = node.state.lock().change_seen;
        let first = Action::Commit {
            ino: node.file.ino,
            stripes: Vec::new(),
            extents: Vec::new(),
            inline: None,
            size_at_least: 0,
            change_at_least,
            written: dirty.written,
            drop_privileges: dirty.drop_privileges,
        };
        if let Some(content) = as_inline(&inode, dirty) {
            let mut action = first;
            if let Action::Commit { inline, .. } = &mut action {
                *inline = Some(content);
            }
            return self.commit_action(node.file, action).await.map(drop);
        }
        let batches = self.place(node.file, dirty).await?;
        self.commit_batches(node.file, first, batches).await
    }

    /// Puts what waits where it can stay: small amounts into the command, the rest into stripes.
    async fn place(&self, file: FileId, dirty: &Dirty) -> Result<VecDeque<Batch>, FsError> {
        let stretches = dirty.stretches();
        if dirty.bytes() <= INLINE_WRITE_BYTES_MAX as u64 {
            let inline = |(offset, runs)| Extent { offset, source: Changed::Inline(join(runs)) };
            let extents: Vec<Extent> = stretches.into_iter().map(inline).collect();
            let batch = |extents: &[Extent]| Batch { stripes: Vec::new(), extents: extents.to_vec() };
            return Ok(extents.chunks(EXTENTS_PER_COMMAND).map(batch).collect());
        }
        let mut writes = JoinSet::new();
        let mut batches = VecDeque::new();
        let mut packed = pack(stretches, self.0.stripes.stripe_bytes_max()).into_iter();
        loop {
            while writes.len() < STRIPES_AT_ONCE
                && let Some(Packed { data, runs }) = packed.next()
            {
                let stripe = self.stripe_id(file).await?;
                let this = self.clone();
                writes.spawn(async move {
                    this.0.stripes.write(file.fs, stripe, data).await.map(|place| (place, runs))
                });
            }
            let Some(written) = writes.join_next().await else { return Ok(batches) };
            let (place, runs) = written.map_err(|_| FsError::Io)?.map_err(data_error)?;
            batches.extend(batches_of(place, &runs));
        }
    }

    async fn commit_batches(
        &self,
        file: FileId,
        first: Action,
        mut batches: VecDeque<Batch>,
    ) -> Result<(), FsError> {
        let mut times = 0;
        while let Some(batch) = batches.pop_front() {
            let mut action = first.clone();
            if let Action::Commit { stripes, extents, .. } = &mut action {
                stripes.clone_from(&batch.stripes);
                extents.clone_from(&batch.extents);
            }
            match self.commit_action(file, action).await? {
                None => times = 0,
                Some(at) => {
                    let (before, after) = batch.split(at).ok_or(FsError::Io)?;
                    batches.push_front(after);
                    batches.push_front(before);
                    times += 1;
                    if times > TRIES {
                        return Err(FsError::Delay);
                    }
                }
            }
        }
        Ok(())
    }

    /// Proposes a commit; an offset comes back where it has to be split.
    async fn commit_action(&self, file: FileId, action: Action) -> Result<Option<u64>, FsError> {
        // On nobody's behalf but with nobody's privileges: the writer's right was decided at its write.
        let nobody = Cred::user(u32::MAX, u32::MAX);
        for _ in 0..TRIES {
            match self.outcome(nobody.clone(), None, file.fs, action.clone()).await? {
                Ok(Reply::Attr { .. }) => return Ok(None),
                Ok(reply) => return Err(unexpected(&reply)),
                Err(Failure::Split { at }) => return Ok(Some(at)),
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

fn batches_of(place: PlacedStripe, runs: &[(u64, u32, u32)]) -> Vec<Batch> {
    let PlacedStripe { stripe, group, data_chunks, parity_chunks, cells, length } = place;
    let new = NewStripe { stripe, group, data_chunks, parity_chunks, cells, length };
    let extent = |&(offset, at, length): &(u64, u32, u32)| Extent {
        offset,
        source: Changed::Stripe { stripe, at, length },
    };
    let batch = |(i, runs): (usize, &[_])| Batch {
        stripes: if i == 0 { vec![new.clone()] } else { Vec::new() },
        extents: runs.iter().map(extent).collect(),
    };
    runs.chunks(EXTENTS_PER_COMMAND).enumerate().map(batch).collect()
}

impl Batch {
    /// Two batches, before and after the offset `at` of the file; `None` if one would be empty.
    fn split(self, at: u64) -> Option<(Batch, Batch)> {
        let mut before = Batch::default();
        let mut after = Batch::default();
        for extent in self.extents {
            let end = extent.offset + extent.length();
            if end <= at {
                before.extents.push(extent);
            } else if extent.offset >= at {
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
        (!before.extents.is_empty() && !after.extents.is_empty()).then_some((before, after))
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
