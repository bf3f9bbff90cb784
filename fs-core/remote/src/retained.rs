//! Written data that the daemon has acknowledged but may still lose: kept until they are committed.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::RwLock;
use types::{ByteRange, FileId};
use vfs::Verifier;

/// One acknowledged unstable write, or what later cuts have left of it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) offset: u64,
    pub(crate) data: Bytes,
    pub(crate) verifier: Verifier,
}

impl Kept {
    fn range(&self) -> ByteRange {
        ByteRange::new(self.offset, self.data.len() as u64)
    }
}

/// The order in which writes were acknowledged, then the offset of what is left of one.
pub(crate) type Place = (u64, u64);

#[derive(Default)]
struct OfFile {
    writes: BTreeMap<Place, Kept>,
    bytes: u64,
    since: Option<Instant>,
    /// Somebody has set the modification time after the last write.
    mtime_pinned: bool,
}

#[derive(Default)]
struct Table {
    next: u64,
    bytes: u64,
    files: HashMap<FileId, OfFile>,
    gates: HashMap<FileId, Arc<RwLock<()>>>,
}

/// Everything kept of one mount.
#[derive(Default)]
pub(crate) struct Retained {
    table: Mutex<Table>,
}

impl Retained {
    /// Writes pass the gate together, whatever cuts a file passes alone: so a cut never overtakes the
    /// bookkeeping of a write that the daemon had before it.
    pub(crate) fn gate(&self, file: FileId) -> Arc<RwLock<()>> {
        let mut table = self.table.lock();
        if table.gates.len() > 4096 {
            table.gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        table.gates.entry(file).or_default().clone()
    }

    pub(crate) fn keep(&self, file: FileId, kept: Kept) {
        let mut table = self.table.lock();
        let table = &mut *table;
        table.next += 1;
        let bytes = kept.data.len() as u64;
        let of_file = table.files.entry(file).or_default();
        of_file.writes.insert((table.next, kept.offset), kept);
        of_file.bytes += bytes;
        of_file.mtime_pinned = false;
        of_file.since.get_or_insert_with(Instant::now);
        table.bytes += bytes;
    }

    /// The modification time was set: writing again must leave it.
    pub(crate) fn pin_mtime(&self, file: FileId) {
        if let Some(of_file) = self.table.lock().files.get_mut(&file) {
            of_file.mtime_pinned = true;
        }
    }

    /// Whether writing again must leave the modification time.
    pub(crate) fn is_mtime_pinned(&self, file: FileId) -> bool {
        self.table.lock().files.get(&file).is_some_and(|of_file| of_file.mtime_pinned)
    }

    /// Bytes kept in all, and the file with most of them.
    pub(crate) fn weight(&self) -> (u64, Option<FileId>) {
        let table = self.table.lock();
        let heaviest = table.files.iter().max_by_key(|(_, of_file)| of_file.bytes).map(|(file, _)| *file);
        (table.bytes, heaviest)
    }

    /// Files whose oldest data were written before `before`.
    pub(crate) fn older(&self, before: Instant) -> Vec<FileId> {
        let table = self.table.lock();
        let old = |of_file: &OfFile| of_file.since.is_some_and(|since| since < before);
        table.files.iter().filter(|(_, of_file)| old(of_file)).map(|(file, _)| *file).collect()
    }

    pub(crate) fn files(&self) -> Vec<FileId> {
        self.table.lock().files.keys().copied().collect()
    }

    /// What is kept of a file, with its place in the order.
    pub(crate) fn of(&self, file: FileId) -> Vec<(Place, Kept)> {
        let table = self.table.lock();
        let writes = table.files.get(&file).into_iter().flat_map(|of_file| &of_file.writes);
        writes.map(|(place, kept)| (*place, kept.clone())).collect()
    }

    /// The daemon has a write again, in another life.
    pub(crate) fn renewed(&self, file: FileId, place: Place, verifier: Verifier) {
        let mut table = self.table.lock();
        if let Some(kept) = table.files.get_mut(&file).and_then(|of_file| of_file.writes.get_mut(&place)) {
            kept.verifier = verifier;
        }
    }

    /// These are durable, or nothing more can be done for them.
    pub(crate) fn drop_all(&self, file: FileId, places: &[Place]) {
        self.edit(file, |writes| {
            for place in places {
                writes.remove(place);
            }
        });
    }

    /// These bytes have been replaced durably, or cut off.
    pub(crate) fn cut(&self, file: FileId, gone: ByteRange) {
        self.edit(file, |writes| {
            let touched: Vec<Place> = writes
                .iter()
                .filter(|(_, kept)| kept.range().overlaps(&gone))
                .map(|(place, _)| *place)
                .collect();
            for place in touched {
                let Some(kept) = writes.remove(&place) else { continue };
                let range = kept.range();
                let left = gone.offset.saturating_sub(range.offset).min(range.len()) as usize;
                let right = gone.end.saturating_sub(range.offset).min(range.len()) as usize;
                let mut leave = |part: std::ops::Range<usize>| {
                    let offset = range.offset + part.start as u64;
                    let left_over = Kept { offset, data: kept.data.slice(part), verifier: kept.verifier };
                    writes.insert((place.0, offset), left_over);
                };
                if left > 0 {
                    leave(0..left);
                }
                if right < kept.data.len() {
                    leave(right..kept.data.len());
                }
            }
        });
    }

    fn edit(&self, file: FileId, edit: impl FnOnce(&mut BTreeMap<Place, Kept>)) {
        let mut table = self.table.lock();
        let Some(of_file) = table.files.get_mut(&file) else { return };
        edit(&mut of_file.writes);
        let before = of_file.bytes;
        of_file.bytes = of_file.writes.values().map(|kept| kept.data.len() as u64).sum();
        let now = of_file.bytes;
        if of_file.writes.is_empty() {
            table.files.remove(&file);
        } else if now < before {
            of_file.since = Some(Instant::now());
        }
        table.bytes = table.bytes + now - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::FsId;

    #[test]
    fn cuts_leave_what_is_around_them_in_order() {
        let (retained, file) = (Retained::default(), FileId::root(FsId(1)));
        let keep = |offset, data: &'static [u8]| {
            retained.keep(file, Kept { offset, data: data.into(), verifier: Verifier([0; 8]) });
        };
        keep(0, b"0123456789");
        keep(6, b"ab");
        retained.cut(file, ByteRange { offset: 2, end: 4 });
        let now = || {
            let mut bytes = [b'.'; 10];
            for (_, kept) in retained.of(file) {
                bytes[kept.offset as usize..][..kept.data.len()].copy_from_slice(&kept.data);
            }
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!(now(), "01..45ab89");
        assert_eq!(retained.weight().0, 10);
        retained.cut(file, ByteRange { offset: 7, end: u64::MAX });
        assert_eq!(now(), "01..45a...");
        let places: Vec<_> = retained.of(file).iter().map(|(place, _)| *place).collect();
        retained.drop_all(file, &places);
        assert_eq!(retained.weight(), (0, None));
        assert!(retained.files().is_empty());
    }
}
