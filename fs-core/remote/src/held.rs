//! The locks that this mount's owners hold, to be claimed again in the daemon's next life.

use parking_lot::Mutex;
use std::collections::HashMap;
use types::{ByteRange, FileId};
use vfs::{ClientId, Lock, LockKind, LockOwner, LockSpace};

type Place = (FileId, LockSpace, LockOwner);

/// What each owner holds where, in ranges that do not overlap.
#[derive(Default)]
pub(crate) struct Held {
    table: Mutex<HashMap<Place, Vec<(ByteRange, LockKind)>>>,
}

impl Held {
    /// A lock was granted or given up: it replaces what the owner held in its range.
    pub(crate) fn note(&self, lock: &Lock) {
        let mut table = self.table.lock();
        let place = (lock.file, lock.space, lock.owner);
        let held = table.entry(place).or_default();
        let mut kept = Vec::with_capacity(held.len() + 2);
        for (range, kind) in held.drain(..) {
            let left = ByteRange { offset: range.offset, end: range.end.min(lock.range.offset) };
            let right = ByteRange { offset: range.offset.max(lock.range.end), end: range.end };
            kept.extend([left, right].into_iter().filter(|part| !part.is_empty()).map(|part| (part, kind)));
        }
        if lock.kind != LockKind::Unlock {
            kept.push((lock.range, lock.kind));
        }
        kept.sort_by_key(|(range, _)| range.offset);
        kept.dedup_by(|next, last| {
            let joins = last.1 == next.1 && last.0.end == next.0.offset;
            if joins {
                last.0.end = next.0.end;
            }
            joins
        });
        if kept.is_empty() {
            table.remove(&place);
        } else {
            *held = kept;
        }
    }

    pub(crate) fn release(&self, file: FileId, owner: LockOwner) {
        self.table.lock().retain(|place, _| (place.0, place.2) != (file, owner));
    }

    pub(crate) fn forget_client(&self, client: ClientId) {
        self.table.lock().retain(|place, _| place.2.client != client);
    }

    /// Claims of everything that is held.
    pub(crate) fn claims(&self) -> Vec<Lock> {
        let table = self.table.lock();
        let all = table.iter().flat_map(|((file, space, owner), held)| {
            held.iter().map(|(range, kind)| Lock {
                file: *file,
                open: None,
                owner: *owner,
                space: *space,
                range: *range,
                kind: *kind,
                wait: false,
                reclaim: true,
            })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::FsId;

    #[test]
    fn ranges_replace_split_and_join() {
        let held = Held::default();
        let note = |kind, offset, end| {
            held.note(&Lock {
                file: FileId::root(FsId(1)),
                open: None,
                owner: LockOwner { client: ClientId(1), owner: 2 },
                space: LockSpace::Range,
                range: ByteRange { offset, end },
                kind,
                wait: false,
                reclaim: false,
            });
        };
        let now = || {
            let mut claims: Vec<_> =
                held.claims().iter().map(|lock| (lock.range.offset, lock.range.end, lock.kind)).collect();
            claims.sort_by_key(|(offset, ..)| *offset);
            claims
        };
        note(LockKind::Exclusive, 0, 100);
        note(LockKind::Shared, 10, 20);
        let (e, s) = (LockKind::Exclusive, LockKind::Shared);
        assert_eq!(now(), [(0, 10, e), (10, 20, s), (20, 100, e)]);
        note(LockKind::Exclusive, 10, 20);
        assert_eq!(now(), [(0, 100, e)]);
        note(LockKind::Unlock, 50, u64::MAX);
        assert_eq!(now(), [(0, 50, e)]);
        note(LockKind::Unlock, 0, u64::MAX);
        assert_eq!(now(), []);
    }
}
