//! Moving bytes of files to another place, seen by nobody.

use crate::command::{Changed, Move, NewStripe, Seen};
use crate::digest::digest;
use crate::extents::Run;
use crate::inodes::{Step, Stop, Work};
use crate::keys;
use crate::outcome::{Failure, Reply};
use crate::records::{Extent, Inode, Source};
use types::{ByteRange, FsError, InodeId, StripeId};

/// Most moves of one command: each makes an extent and a piece.
pub(crate) const MOVES_MAX: usize = 128;
/// Most extents that the moves of one command replace: each has its own key and one that says that it is to be
/// folded.
pub(crate) const EXTENTS_MAX: usize = 320;

const _: () = assert!(MOVES_MAX * 2 + EXTENTS_MAX * 2 + 20 < types::limits::COMMAND_KEYS_MAX);

/// See [`crate::Action::Relocate`].
pub(crate) fn relocate(
    work: &mut Work<'_>,
    key: &[u8; 16],
    stripe: StripeId,
    new: Option<&NewStripe>,
    moves: &[Move],
) -> Step<Reply> {
    check(stripe, new, moves)?;
    let mut chosen = Vec::new();
    for it in moves {
        if is_as_seen(work, key, it)? {
            chosen.push(it);
        }
    }
    // One that turned into garbage since an earlier command is about to be freed.
    let live = new.is_some() || work.map.get(&keys::stripe(work.fs, stripe))?.is_some();
    if chosen.is_empty() || !live {
        return Ok(Reply::Relocated { bytes: 0 });
    }
    work.adopt(new.map_or(&[], std::slice::from_ref))?;
    let mut bytes = 0;
    for it in chosen {
        replace(work, stripe, it)?;
        bytes += u64::from(it.length);
    }
    Ok(Reply::Relocated { bytes })
}

fn check(stripe: StripeId, new: Option<&NewStripe>, moves: &[Move]) -> Step<()> {
    let slot = InodeId(stripe.0).slot();
    let mut end = 0;
    let mut extents = 0usize;
    for it in moves {
        let seen = it.seen.extents();
        extents = extents.saturating_add(seen as usize);
        let next = it.at.checked_add(it.length);
        let fits = it.length > 0 && seen > 0 && it.ino.slot() == slot && it.at >= end;
        let ends = it.offset.checked_add(u64::from(it.length)).is_some();
        let Some(next) = next.filter(|_| fits && ends) else { return Err(FsError::Invalid.into()) };
        end = next;
    }
    let same = new.is_none_or(|new| new.stripe == stripe);
    if !same || moves.len() > MOVES_MAX || extents > EXTENTS_MAX {
        return Err(FsError::Invalid.into());
    }
    Ok(())
}

fn is_as_seen(work: &Work<'_>, key: &[u8; 16], it: &Move) -> Step<bool> {
    match it.seen {
        Seen::Unfolded { digest, extents } => has_bytes(work, key, it, digest, extents),
        Seen::Piece { stripe, piece, within } => {
            let key = keys::extent(work.file(it.ino), it.offset);
            let found: Option<Extent> = work.read().record(&key)?;
            let source = Source::Piece { stripe, piece, within, codec: 0, key_id: 0, raw_length: 0 };
            Ok(found == Some(Extent { length: u64::from(it.length), source }))
        }
    }
}

/// Whether the same bytes stand there in as many extents.
fn has_bytes(work: &Work<'_>, key: &[u8; 16], it: &Move, seen: [u8; 16], extents: u32) -> Step<bool> {
    let range = ByteRange::new(it.offset, u64::from(it.length));
    let runs = work.read().runs(it.ino, range, extents as usize + 1)?;
    let mut at = range.offset;
    let mut parts = Vec::with_capacity(runs.len());
    for run in &runs {
        let Source::Inline(content) = &run.extent.source else { return Ok(false) };
        if run.offset != at {
            return Ok(false);
        }
        at = run.range().end;
        parts.push(&content[..]);
    }
    Ok(at == range.end && runs.len() == extents as usize && digest(key, parts) == seen)
}

fn replace(work: &mut Work<'_>, stripe: StripeId, it: &Move) -> Step<()> {
    let file = work.file(it.ino);
    // Extents belong to an inode, also while that waits to be removed.
    let mut inode: Inode = work.read().record(&keys::inode(file))?.ok_or(FsError::Invalid)?;
    let (used, length) = (inode.used, u64::from(it.length));
    let range = ByteRange::new(it.offset, length);
    match work.punch(it.ino, &mut inode, range, EXTENTS_MAX) {
        Ok(_) => {}
        Err(Stop::Fail(Failure::Split { .. })) => return Err(FsError::Invalid.into()),
        Err(stop) => return Err(stop),
    }
    let source = work.settle_source(&Changed::Stripe { stripe, at: it.at, length: it.length })?;
    work.add_run(it.ino, &mut inode, &Run { offset: it.offset, extent: Extent { length, source } });
    debug_assert_eq!(inode.used, used, "the file has as many bytes as before: its inode stays as it is");
    Ok(())
}

#[cfg(test)]
mod tests;
