//! The pass over the map: every record read, and handed to those who know its kind.

use crate::Checked;
use crate::across::Across;
use crate::chunks::{Chunks, Doubts};
use crate::damage::{Findings, Kind};
use crate::keys::{self, Key};
use crate::part::Part;
use crate::records::{
    self, Client, Counters, Ended, Filesystem, Record, Renames, Replay, Scrub, Time, decode,
};
use map::{MapError, OrderedMap};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use types::limits::CLIENT_RECORD_BYTES_MAX;
use types::{FileId, FsId, InodeId, Slot, StripeId};

/// Steps of one request that a replay remembers.
const REPLAY_STEPS_MAX: usize = 64;
/// In a second.
const NANOSECONDS: u32 = 1_000_000_000;
/// Version of the replies in it.
const REPLY_VERSION: u8 = 1;
/// The only folding table there is.
const FOLD_VERSION: u8 = 1;
const FILESYSTEM_NAME_BYTES_MAX: usize = 255;
/// Heads that keep records of clients.
const HEADS: u8 = 1;
/// Holds filesystems and the counters of stripes.
const CLUSTER: FsId = FsId(0);

pub(crate) struct Walk<'a> {
    pub(crate) view: &'a dyn OrderedMap,
    pub(crate) findings: Findings,
    pub(crate) across: Across,
    pub(crate) chunks: Chunks,
    pub(crate) doubts: Doubts,
    pub(crate) filesystems: BTreeMap<FsId, Filesystem>,
    /// Filesystems that are being removed.
    pub(crate) going: BTreeSet<FsId>,
    pub(crate) part: Part,
    /// The last stripe granted in the slot.
    pub(crate) granted: u64,
    /// Stripes of the slot, whatever their filesystem.
    pub(crate) stripes: HashSet<StripeId>,
    pub(crate) inodes: u64,
    pub(crate) entries: u64,
    pub(crate) removing: u64,
}

pub(crate) fn walk(view: &dyn OrderedMap, mut chunks: Chunks) -> Result<Checked, MapError> {
    chunks.sort();
    let counted = chunks.count();
    let map = chunks.cluster().clone();
    let mut walk = Walk {
        view,
        findings: Findings::default(),
        across: Across::default(),
        chunks,
        doubts: Doubts::default(),
        filesystems: BTreeMap::new(),
        going: BTreeSet::new(),
        part: Part::new(Slot(0), CLUSTER),
        granted: 0,
        stripes: HashSet::new(),
        inodes: 0,
        entries: 0,
        removing: 0,
    };
    walk.find_filesystems()?;
    walk.find_removals()?;
    let mut outcome = Ok(());
    view.scan(&[], &[0xff; 64], &mut |key, value| {
        outcome = walk.record(key, value);
        outcome.is_ok()
    })?;
    outcome?;
    walk.finish_part();
    let Walk {
        across, mut findings, mut doubts, chunks, filesystems, going, inodes, entries, removing, ..
    } = walk;
    across.finish(view, &mut findings)?;
    chunks.finish(&mut doubts);
    let filesystems = filesystems.into_iter().map(|(id, record)| (id, record.name)).collect();
    Ok(Checked { findings, doubts, map, filesystems, going, inodes, entries, chunks: counted, removing })
}

impl Walk<'_> {
    /// The filesystems come first, as everything else belongs to one.
    fn find_filesystems(&mut self) -> Result<(), MapError> {
        let (from, to) = keys::filesystems();
        let mut found = Vec::new();
        self.view.scan(&from, &to, &mut |key, value| {
            // What cannot be read is named when the pass comes to it.
            found.extend(decode::<Filesystem>(value).ok().map(|record| (key.to_vec(), record)));
            true
        })?;
        for (key, record) in found {
            let id = FsId(record.id);
            let root = FileId::root(id);
            let name = record.name.clone();
            let mut wrong = |what: &str| {
                self.findings.add(Kind::Filesystem, None, || format!("filesystem {} ({name}) {what}", id.0));
            };
            if key != keys::filesystem(id) || id == CLUSTER {
                wrong("stands under another number");
                continue;
            }
            if name.is_empty() || name.len() > FILESYSTEM_NAME_BYTES_MAX || name.contains(['/', '\0']) {
                wrong("has an impossible name");
            }
            if record.fold_version != FOLD_VERSION {
                wrong("folds names by a table of an unknown version");
            }
            let by_name = self.view.get(&keys::filesystem_name(name.as_bytes()))?;
            if by_name.and_then(|value| decode::<Filesystem>(&value).ok()).as_ref() != Some(&record) {
                wrong("has no right record by name");
            }
            if self.view.get(&keys::inode(root))?.is_none() {
                wrong("has no root directory");
            }
            self.filesystems.insert(id, record);
        }
        Ok(())
    }

    fn record(&mut self, raw: &[u8], value: &[u8]) -> Result<(), MapError> {
        let Some(key) = Key::parse(raw) else {
            self.unreadable(raw, "its key is none of this version");
            return Ok(());
        };
        if (key.slot, key.fs) != (self.part.slot, self.part.fs) {
            self.begin_part(key.slot, key.fs);
        }
        let of_cluster = matches!(
            key.kind,
            keys::SCRUB
                | keys::BURIED
                | keys::FILESYSTEM
                | keys::FILESYSTEM_NAME
                | keys::REMOVAL
                | keys::CLIENT
                | keys::ENDED
        );
        let of_both = matches!(key.kind, keys::COUNTERS | keys::REPLAY);
        if !of_both && of_cluster != (key.fs == CLUSTER) {
            self.unreadable(raw, "a record of this kind does not belong into this filesystem");
            return Ok(());
        }
        if self.going.contains(&key.fs) && self.of_removal(raw, key, value) {
            return Ok(());
        }
        match key.kind {
            keys::COUNTERS => {
                if key.body.is_empty() {
                    self.part.counters = self.read(raw, value);
                    if key.fs == CLUSTER {
                        self.granted = self.part.counters.as_ref().map_or(0, |counters| counters.stripe);
                    }
                } else {
                    self.unreadable(raw, "its key is too long");
                }
            }
            keys::RENAMES if key.slot == Slot(0) && key.body.is_empty() => {
                self.read::<Renames>(raw, value);
            }
            keys::RENAMES => self.unreadable(raw, "its place is in slot 0"),
            keys::ACCOUNT => {
                if key.body.is_empty() {
                    self.part.account = self.read(raw, value);
                } else {
                    self.unreadable(raw, "its key is too long");
                }
            }
            keys::SCRUB => self.scrub(raw, key, value),
            keys::FILESYSTEM => drop(self.read::<Filesystem>(raw, value)),
            keys::FILESYSTEM_NAME => self.filesystem_name(raw, value),
            keys::REMOVAL => self.removal(raw, key, value),
            keys::INODE => self.inode(raw, key, value),
            keys::ENTRY => self.entry(raw, key, value)?,
            keys::ENTRY_NAME => self.entry_name(raw, key, value)?,
            keys::EXTENT => self.extent(raw, key, value)?,
            keys::UNFOLDED => self.unfolded(raw, key, value)?,
            keys::PIECE => self.piece(raw, key, value),
            keys::STRIPE => self.stripe(raw, key, value),
            keys::GARBAGE => self.garbage(raw, key, value),
            keys::BURIED => self.buried(raw, key, value),
            keys::XATTR => self.xattr(raw, key, value),
            keys::ORPHAN => self.orphan(raw, key, value),
            keys::INTENT => self.intent(raw, key, value),
            keys::REPLAY => self.replay(raw, key, value),
            keys::CLIENT => self.client(raw, key, value),
            keys::ENDED => self.ended(raw, key, value),
            _ => self.unreadable(raw, "its kind is unknown"),
        }
        Ok(())
    }

    pub(crate) fn unreadable(&mut self, raw: &[u8], why: &str) {
        self.findings.add(Kind::Record, None, || {
            let key = Key::parse(raw);
            let of = key.and_then(|key| key.body.get(..6).map(|_| key)).map(|key| {
                let mut wide = [0; 8];
                wide[2..].copy_from_slice(&key.body[..6]);
                format!(
                    " (kind {:#04x} of {}/{}.{})",
                    key.kind,
                    key.fs.0,
                    key.slot.0,
                    u64::from_be_bytes(wide)
                )
            });
            format!("the record at {}{} cannot be read: {why}", raw.escape_ascii(), of.unwrap_or_default())
        });
    }

    /// The record, or a damage.
    pub(crate) fn read<R: Record>(&mut self, raw: &[u8], value: &[u8]) -> Option<R> {
        match decode(value) {
            Ok(record) => Some(record),
            Err(why) => {
                self.unreadable(raw, &why.to_string());
                None
            }
        }
    }

    fn begin_part(&mut self, slot: Slot, fs: FsId) {
        self.finish_part();
        if slot != self.part.slot {
            self.granted = 0;
            self.stripes.clear();
        }
        self.part = Part::new(slot, fs);
        if fs != CLUSTER && !self.filesystems.contains_key(&fs) && !self.going.contains(&fs) {
            self.findings.add(Kind::Filesystem, None, || {
                format!("slot {} has records of filesystem {}, which is not there", slot.0, fs.0)
            });
        }
    }

    /// All records of the part were seen.
    fn finish_part(&mut self) {
        self.counters();
        self.account();
        if self.going.contains(&self.part.fs) {
            return;
        }
        self.finish_inodes();
        self.finish_stripes();
    }

    fn counters(&mut self) {
        let (slot, fs) = (self.part.slot, self.part.fs);
        let counters = self.part.counters.take();
        let Counters { inode: last, inodes, closed, .. } = counters.unwrap_or_default();
        let (there, highest) = if fs == CLUSTER && slot == Slot(0) {
            // Its counters number the filesystems.
            (0, self.filesystems.keys().chain(&self.going).max().map_or(0, |id| u64::from(id.0)))
        } else {
            (self.part.inodes.len() as u64, self.part.inodes.last().map_or(0, |seen| seen.ino.sequence()))
        };
        let of = format!("of slot {} of filesystem {}", slot.0, fs.0);
        if closed && !self.going.contains(&fs) {
            self.findings.add(Kind::Filesystem, None, || {
                format!("the counters {of} say that nothing is made any more, and it is not being removed")
            });
        }
        if inodes != there {
            self.findings.add(Kind::Counter, None, || {
                format!("the counters {of} say {inodes} inodes, and there are {there}")
            });
        }
        if last < highest {
            self.findings.add(Kind::Counter, None, || {
                format!("the counters {of} say that {last} was the last number given, and {highest} is there")
            });
        }
    }

    fn account(&mut self) {
        let used = self.part.inodes.iter().filter_map(|seen| seen.says).map(|says| says.used);
        let used = used.fold(0, u64::saturating_add);
        let counted = records::Account { used, ..self.part.counted };
        let says = self.part.account.take().unwrap_or_default();
        if counted != says {
            let (slot, fs) = (self.part.slot.0, self.part.fs.0);
            self.findings.add(Kind::Account, None, || {
                format!(
                    "the account of slot {slot} of filesystem {fs} says {says:?}, and there is {counted:?}"
                )
            });
        }
    }

    fn filesystem_name(&mut self, raw: &[u8], value: &[u8]) {
        let Some(record) = self.read::<Filesystem>(raw, value) else { return };
        let right = raw == keys::filesystem_name(record.name.as_bytes())
            && self.filesystems.get(&FsId(record.id)) == Some(&record);
        if !right {
            self.findings.add(Kind::Filesystem, None, || {
                format!("the name {:?} stands for filesystem {}, which is another", record.name, record.id)
            });
        }
    }

    fn replay(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(Replay { replies, .. }) = self.read(raw, value) else { return };
        let in_order = replies.is_sorted_by(|a, b| a.0 < b.0);
        let known = replies.iter().all(|(_, reply)| reply.first() == Some(&REPLY_VERSION));
        if key.body.len() != 20 || !in_order || !known || !(1..=REPLAY_STEPS_MAX).contains(&replies.len()) {
            self.unreadable(raw, "it is no replay");
        }
    }

    fn scrub(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(Scrub { whole, now }) = self.read(raw, value) else { return };
        let time = |time: &Time| time.nanoseconds < NANOSECONDS;
        let at = |(begun, _, stripe): &(Time, u32, u64)| time(begun) && InodeId(*stripe).slot() == key.slot;
        if !key.body.is_empty() || !whole.iter().all(time) || !now.iter().all(at) {
            self.unreadable(raw, "it says nothing of stripes of this slot");
        }
    }

    fn client(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(Client { holds, kept }) = self.read(raw, value) else { return };
        let small =
            kept.as_ref().is_none_or(|(head, data)| *head < HEADS && data.len() <= CLIENT_RECORD_BYTES_MAX);
        let something = holds != (false, false, false) || kept.is_some();
        if key.slot != Slot(0) || key.body.len() != 16 || !small || !something {
            self.unreadable(raw, "it is no client");
        }
    }

    fn ended(&mut self, raw: &[u8], key: Key<'_>, value: &[u8]) {
        let Some(Ended {}) = self.read(raw, value) else { return };
        if key.slot != Slot(0) || key.body.len() != 16 {
            self.unreadable(raw, "it is no client");
        }
    }

    pub(crate) fn kind_of(&mut self, ino: InodeId) -> Result<Option<Option<crate::part::Says>>, MapError> {
        if ino.slot() == self.part.slot {
            return Ok(self.part.inode(ino).map(|seen| seen.says));
        }
        let value = self.view.get(&keys::inode(self.part.file(ino)))?;
        Ok(value
            .map(|value| decode::<records::Inode>(&value).ok().map(|inode| crate::part::Says::of(&inode))))
    }
}
