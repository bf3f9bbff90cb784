//! Space on drives is promised before data are acknowledged, so that it is the write that is told that there is none,
//! and not the close.
//!
//! What waits of a file has been promised what it takes if it is written back now, and small writes that are kept with
//! the metadata what they take when they are folded. What was promised may use some of
//! what drives hold back, where free space turns out to be in too small pieces. It has a place in logs and maps, too.

use crate::nodes::State;
use crate::{Frontend, Room, Shards, Stripes, Usage};
use std::sync::atomic::{AtomicU64, Ordering};
use types::FsError;
use types::limits::INLINE_WRITE_BYTES_MAX;

/// What reserved bytes hold, in times of what whole stripes of them take: they may be written piece by piece.
const RESERVED_TIMES: u64 = 2;

/// What somebody takes of a counter until it is dropped.
pub(crate) struct Taking<'a> {
    pub(crate) counter: &'a AtomicU64,
    pub(crate) bytes: u64,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<S: Shards, D: Stripes> Frontend<S, D> {
    /// What so many bytes of a file take when they are written back.
    fn needed(&self, bytes: u64) -> u64 {
        // The map has small amounts until they are folded, many together: about this.
        let small = bytes <= INLINE_WRITE_BYTES_MAX as u64;
        if small { bytes * 2 } else { self.0.stripes.stored_bytes(bytes) }
    }

    /// What waits of a file has changed: so does its promise.
    pub(crate) fn promise(&self, state: &mut State) {
        let taken = state.in_flight.as_ref().map_or(0, |dirty| self.needed(dirty.bytes()));
        let now = self.needed(state.dirty.bytes()) + taken;
        let before = std::mem::replace(&mut state.promised, now);
        self.0.promised.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Promises what `bytes` more of a file take, if there is so much; until it is dropped, when they are counted
    /// with their file. Bytes that are `reserved` have what was set aside for them.
    pub(crate) fn room_for(&self, state: &State, bytes: u64, reserved: bool) -> Option<Taking<'_>> {
        if self.0.stripes.metadata_room() != Room::Ample {
            return None;
        }
        let waits = state.dirty.bytes();
        let more = self.needed(waits + bytes).saturating_sub(self.needed(waits));
        let counter = &self.0.promised;
        let aside = if reserved { 0 } else { self.set_aside() };
        let room = self.0.stripes.usage().room.saturating_sub(aside);
        let grown = |now: u64| (more == 0 || now + more <= room).then_some(now + more);
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).ok()?;
        Some(Taking { counter, bytes: more })
    }

    /// Looks again for what there was no room for: what waits may take less than it was promised, and something may have
    /// been freed.
    pub(crate) async fn look_for_room(&self) -> Result<(), FsError> {
        let _one = self.0.making_room.lock().await;
        // What fails is kept and tried again.
        let _ = self.flush_all().await;
        self.0.stripes.look_at_usage().await;
        // So that small writes count as what they are now.
        self.with_ledger(|_| ()).await
    }

    /// Bytes on drives that are set aside beside what is promised: for small writes that are kept with the metadata
    /// until they are folded, and for what is reserved.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.0.stripes.stored_bytes(self.unfolded()).saturating_add(self.for_reserved(self.reserved()))
    }

    fn for_reserved(&self, bytes: u64) -> u64 {
        self.0.stripes.stored_bytes(bytes).saturating_mul(RESERVED_TIMES)
    }

    /// Takes what so many bytes hold that are about to be reserved, if it was not promised to others; until it is
    /// dropped, when they are reserved.
    pub(crate) fn room_to_reserve(&self, bytes: u64) -> Option<Taking<'_>> {
        let Usage { total, room, .. } = self.0.stripes.usage();
        if bytes > total {
            return None;
        }
        let room = room.saturating_sub(self.set_aside());
        self.take(self.for_reserved(bytes), |now| now <= room)
    }

    /// Takes what a stripe of so many bytes takes, for work that may wait, if it was not promised to others; until it
    /// is dropped, when the stripe is written.
    pub(crate) fn room_to_fold(&self, bytes: usize) -> Option<Taking<'_>> {
        let room = self.0.stripes.usage().room.saturating_sub(self.for_reserved(self.reserved()));
        self.take(self.0.stripes.stored_bytes(bytes as u64), |now| now <= room)
    }

    /// As [`Self::room_to_fold`], of what is held back too. Of that, half stays as long as something is promised: it
    /// may need it; and then a quarter, for repair.
    pub(crate) fn room_to_clean(&self, bytes: usize) -> Option<Taking<'_>> {
        let Usage { unused, held_back, .. } = self.0.stripes.usage();
        let need = self.0.stripes.stored_bytes(bytes as u64);
        let kept = |promised: u64| held_back / if promised > 0 { 2 } else { 4 };
        let unused = unused.saturating_sub(self.for_reserved(self.reserved()));
        self.take(need, |now| now + kept(now.saturating_sub(need)) <= unused)
    }

    fn take(&self, bytes: u64, fits: impl Fn(u64) -> bool) -> Option<Taking<'_>> {
        let counter = &self.0.promised;
        let grown = |now: u64| now.checked_add(bytes).filter(|then| fits(*then));
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).ok()?;
        Some(Taking { counter, bytes })
    }

    /// Bytes on drives that are promised to data that wait.
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.0.promised.load(Ordering::Relaxed)
    }
}
