//! Whether a map is in order: what must hold between its records, whatever commands made them.

use map::{MapError, OrderedMap};
use namespace::keys::{self, kind};
use namespace::records::{
    Account, Body, Client, Counters, Ended, Entry, EntryName, Extent, Filesystem, Inode, Intent, Piece,
    Record, Scrub, Source, Stripe, Unfolded, Xattr,
};
use std::collections::{BTreeMap, BTreeSet};
use types::limits::INLINE_FILE_BYTES_MAX;
use types::{Cookie, FileId, FileKind, FsId, InodeId, Name, Slot, StripeId};

/// Every record of a map, by what it is about.
#[derive(Default)]
pub struct Audit {
    counters: BTreeMap<(FsId, Slot), Counters>,
    accounts: BTreeMap<(FsId, Slot), Account>,
    unfolded: BTreeMap<(FileId, u64), Unfolded>,
    inodes: BTreeMap<FileId, Inode>,
    entries: BTreeMap<(FileId, Cookie), Entry>,
    names: BTreeMap<(FileId, Name), EntryName>,
    extents: BTreeMap<FileId, Vec<(u64, Extent)>>,
    pieces: BTreeMap<(FsId, StripeId), BTreeMap<u32, Piece>>,
    stripes: BTreeMap<(FsId, StripeId), Stripe>,
    garbage: BTreeMap<(FsId, StripeId), Stripe>,
    buried: BTreeSet<StripeId>,
    xattrs: BTreeMap<FileId, u32>,
    orphans: Vec<FileId>,
    intents: BTreeMap<FileId, Intent>,
    filesystems: BTreeSet<FsId>,
    going: Going,
    findings: Vec<String>,
}

/// Filesystems that are being removed, of whose tree any part may be missing.
#[derive(Default)]
struct Going {
    filesystems: BTreeSet<FsId>,
    /// Inodes, and what accounts must say beside garbage.
    counted: BTreeMap<(FsId, Slot), (u64, Account)>,
    stripes: BTreeMap<(FsId, StripeId), Stripe>,
    records: usize,
}

/// What is wrong with `map`, one line each.
///
/// # Errors
/// When the map cannot be read.
pub fn audit(map: &dyn OrderedMap) -> Result<Vec<String>, MapError> {
    let mut audit = Audit::read(map)?;
    audit.directories();
    audit.links();
    audit.files();
    audit.stripes();
    audit.counts();
    audit.accounts();
    Ok(audit.findings)
}

fn number<const N: usize>(bytes: &[u8]) -> Option<u64> {
    let mut wide = [0; 8];
    wide[8 - N..].copy_from_slice(bytes.get(..N)?);
    Some(u64::from_be_bytes(wide))
}

fn in_fs(file: FileId, ino: InodeId) -> FileId {
    FileId { ino, ..file }
}

impl Audit {
    /// Reads all of `map`; what cannot be understood is a finding.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn read(map: &dyn OrderedMap) -> Result<Audit, MapError> {
        let mut audit = Audit::default();
        let removals = namespace::queries::removal::removals(map);
        let removals = removals.map_err(|error| MapError::Broken(error.to_string()))?;
        audit.going.filesystems = removals.into_iter().map(|(fs, _)| fs).collect();
        map.scan(&[], &[0xff; 64], &mut |key, value| {
            if audit.take(key, value).is_none() {
                audit.findings.push(format!("the record at {} cannot be understood", key.escape_ascii()));
            }
            true
        })?;
        Ok(audit)
    }

    /// Stripes that the map knows, with their lengths.
    #[must_use]
    pub fn known_stripes(&self) -> BTreeMap<StripeId, usize> {
        let all = self.stripes.iter().chain(&self.garbage).chain(&self.going.stripes);
        all.map(|((_, stripe), record)| (*stripe, record.length as usize)).collect()
    }

    /// Kinds of records that remain, with their numbers, beside the roots of filesystems.
    #[must_use]
    pub fn remains(&self) -> Vec<(&'static str, usize)> {
        let beside = |file: &&FileId| file.ino != InodeId::ROOT;
        let inodes = self.inodes.keys().filter(beside).count();
        let xattrs = self.xattrs.keys().filter(beside).count();
        let of_none = |(fs, _): &&(FsId, Slot)| *fs != FsId(0) && !self.filesystems.contains(fs);
        let all = [
            ("filesystems that are going", self.going.filesystems.len()),
            ("records of these", self.going.records),
            ("counters of filesystems that are gone", self.counters.keys().filter(of_none).count()),
            ("inodes", inodes),
            ("entries", self.entries.len()),
            ("names", self.names.len()),
            ("extents", self.extents.len()),
            ("accounts", self.accounts.len()),
            ("extents to be folded", self.unfolded.len()),
            ("pieces", self.pieces.len()),
            ("stripes", self.stripes.len()),
            ("garbage", self.garbage.len()),
            ("attributes", xattrs),
            ("orphans", self.orphans.len()),
            ("intents", self.intents.len()),
        ];
        all.into_iter().filter(|(_, number)| *number > 0).collect()
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let slot = Slot(number::<2>(key)? as u16);
        let fs = FsId(number::<4>(key.get(2..)?)? as u32);
        let body = key.get(keys::PREFIX_BYTES..key.len().checked_sub(keys::SUFFIX_BYTES)?)?;
        let file = || number::<6>(body).map(|sequence| FileId { fs, ino: InodeId::new(slot, sequence) });
        let stripe = || file().map(|file| (fs, StripeId(file.ino.0)));
        let rest = || body.get(6..);
        let is = *key.get(keys::PREFIX_BYTES - 1)?;
        if self.going.filesystems.contains(&fs)
            && !matches!(is, kind::COUNTERS | kind::ACCOUNT | kind::GARBAGE)
        {
            return self.take_going(fs, slot, is, stripe(), value);
        }
        match is {
            kind::COUNTERS => drop(self.counters.insert((fs, slot), Counters::decode(value).ok()?)),
            kind::FILESYSTEM => drop(self.filesystems.insert(Filesystem::decode(value).ok()?.id)),
            kind::RENAMES | kind::FILESYSTEM_NAME | kind::REMOVAL | kind::REPLAY => {}
            kind::CLIENT => drop(Client::decode(value).ok()?),
            kind::SCRUB => drop(Scrub::decode(value).ok()?),
            kind::ENDED => drop(Ended::decode(value).ok()?),
            kind::ACCOUNT => drop(self.accounts.insert((fs, slot), Account::decode(value).ok()?)),
            kind::UNFOLDED => {
                let at = (file()?, number::<8>(rest()?)?);
                self.unfolded.insert(at, Unfolded::decode(value).ok()?);
            }
            kind::INODE => drop(self.inodes.insert(file()?, Inode::decode(value).ok()?)),
            kind::ENTRY => {
                let cookie = Cookie(number::<8>(rest()?)?);
                self.entries.insert((file()?, cookie), Entry::decode(value).ok()?);
            }
            kind::ENTRY_NAME => {
                let name = rest()?.strip_suffix(&[0])?;
                let record = EntryName::decode(value).ok()?;
                let name = if record.kind == FileKind::Directory { name.strip_suffix(b"/")? } else { name };
                self.names.insert((file()?, Name::new(name.to_vec()).ok()?), record);
            }
            kind::EXTENT => {
                let extent = (number::<8>(rest()?)?, Extent::decode(value).ok()?);
                self.extents.entry(file()?).or_default().push(extent);
            }
            kind::PIECE => {
                let at = number::<4>(rest()?)? as u32;
                self.pieces.entry(stripe()?).or_default().insert(at, Piece::decode(value).ok()?);
            }
            kind::STRIPE => drop(self.stripes.insert(stripe()?, Stripe::decode(value).ok()?)),
            kind::BURIED => drop(self.buried.insert(stripe()?.1)),
            kind::GARBAGE => drop(self.garbage.insert(stripe()?, Stripe::decode(value).ok()?)),
            kind::XATTR => {
                Xattr::decode(value).ok()?;
                *self.xattrs.entry(file()?).or_default() += 1;
            }
            kind::ORPHAN => self.orphans.push(file()?),
            kind::INTENT => drop(self.intents.insert(file()?, Intent::decode(value).ok()?)),
            _ => return None,
        }
        Some(())
    }

    fn take_going(
        &mut self,
        fs: FsId,
        slot: Slot,
        is: u8,
        stripe: Option<(FsId, StripeId)>,
        value: &[u8],
    ) -> Option<()> {
        self.going.records += 1;
        let (inodes, account) = self.going.counted.entry((fs, slot)).or_default();
        match is {
            kind::INODE => {
                *inodes += 1;
                account.used += Inode::decode(value).ok()?.used;
            }
            kind::UNFOLDED => {
                account.unfolded += 1;
                account.unfolded_bytes += u64::from(Unfolded::decode(value).ok()?.bytes);
            }
            kind::STRIPE => {
                let record = Stripe::decode(value).ok()?;
                account.add_live(&record);
                self.going.stripes.insert(stripe?, record);
            }
            _ => {}
        }
        Some(())
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(what());
        }
    }

    /// Each entry has its two records and its inode; each directory knows its parent and its size.
    fn directories(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let mut sizes: BTreeMap<FileId, u64> = BTreeMap::new();
        for ((dir, cookie), entry) in &entries {
            *sizes.entry(*dir).or_default() += 1;
            let file = in_fs(*dir, entry.ino);
            let by_name = self.names.get(&(*dir, entry.name.clone()));
            let same = by_name
                .is_some_and(|name| (name.cookie, name.ino, name.kind) == (*cookie, entry.ino, entry.kind));
            self.check(same, || format!("{} in {dir} has no right record by name", entry.name));
            let inode = self.inodes.get(&file);
            let same = inode.is_some_and(|inode| inode.kind == entry.kind);
            let below = match inode.map(|inode| &inode.body) {
                Some(Body::Directory(body)) => body.parent == dir.ino,
                _ => true,
            };
            self.check(same, || {
                format!("{} in {dir} names {file}, which is not there or another kind", entry.name)
            });
            self.check(below, || format!("{file} is in {dir} but knows another parent"));
        }
        let names = self.names.len();
        self.check(names == entries.len(), || format!("{} entries, {names} by name", entries.len()));
        for (file, inode) in std::mem::take(&mut self.inodes) {
            let size = sizes.remove(&file).unwrap_or(0);
            if inode.kind == FileKind::Directory {
                self.check(inode.size == size, || {
                    format!("{file} has {size} entries, and says {}", inode.size)
                });
            } else {
                self.check(size == 0, || format!("{file} has entries and is no directory"));
            }
            self.inodes.insert(file, inode);
        }
        self.check(sizes.is_empty(), || format!("entries of directories that are not there: {sizes:?}"));
        self.entries = entries;
    }

    /// Numbers of links, orphans and intents.
    fn links(&mut self) {
        let (mut names, mut subdirectories) = (BTreeMap::new(), BTreeMap::new());
        for ((dir, _), entry) in &self.entries {
            *names.entry(in_fs(*dir, entry.ino)).or_insert(0u32) += 1;
            *subdirectories.entry(*dir).or_insert(0u32) += u32::from(entry.kind == FileKind::Directory);
        }
        let inodes = std::mem::take(&mut self.inodes);
        for (file, inode) in &inodes {
            let named = names.get(file).copied().unwrap_or(0);
            let leaves =
                self.orphans.contains(file) || matches!(self.intents.get(file), Some(Intent::Delete { .. }));
            let expected = match inode.kind {
                FileKind::Directory if leaves => 0,
                FileKind::Directory => 2 + subdirectories.get(file).copied().unwrap_or(0),
                _ => named,
            };
            let links = inode.links;
            self.check(links == expected, || format!("{file} has {expected} links, and says {links}"));
            let named_once = u32::from(file.ino != InodeId::ROOT && !leaves);
            let right = inode.kind != FileKind::Directory || named == named_once;
            self.check(right, || format!("the directory {file} has {named} names"));
            self.check((links == 0) == leaves, || {
                format!("{file} has {links} links; an orphan or going: {leaves}")
            });
        }
        for file in self.orphans.clone() {
            self.check(inodes.contains_key(&file), || format!("the orphan {file} has no inode"));
        }
        for (file, intent) in self.intents.clone() {
            self.check(inodes.contains_key(&file), || format!("{intent:?} of {file}, which has no inode"));
        }
        self.inodes = inodes;
    }

    /// Extents belong to files, do not overlap, and make up what the file says it uses.
    fn files(&mut self) {
        let extents = std::mem::take(&mut self.extents);
        for file in extents.keys() {
            let is_file = self.inodes.get(file).is_some_and(|inode| matches!(inode.body, Body::File(_)));
            self.check(is_file, || format!("extents of {file}, which is no file"));
        }
        for file in self.xattrs.keys().copied().collect::<Vec<_>>() {
            let known = self.inodes.contains_key(&file);
            self.check(known, || format!("attributes of {file}, which is not there"));
        }
        for (file, inode) in std::mem::take(&mut self.inodes) {
            let named = self.xattrs.get(&file).copied().unwrap_or(0);
            self.check(inode.xattrs == named, || {
                format!("{file} has {named} attributes, says {}", inode.xattrs)
            });
            if let Body::File(body) = &inode.body {
                let runs = extents.get(&file).map_or(&[][..], Vec::as_slice);
                let ends = runs.iter().map(|(offset, extent)| offset.checked_add(extent.length));
                let apart =
                    runs.iter().skip(1).zip(ends).all(|((next, _), end)| end.is_some_and(|end| end <= *next));
                self.check(apart, || format!("extents of {file} overlap"));
                let empty = runs.iter().any(|(_, extent)| extent.length == 0);
                self.check(!empty, || format!("{file} has an empty extent"));
                let inline = body.inline.as_ref().map_or(0, bytes::Bytes::len);
                let alone = body.inline.is_none() || runs.is_empty();
                self.check(alone, || format!("{file} has content in its inode and extents"));
                let fits = inline <= INLINE_FILE_BYTES_MAX && inline as u64 <= inode.size;
                self.check(fits, || format!("{file} has {inline} bytes in its inode, of {}", inode.size));
                let used = inline as u64 + runs.iter().map(|(_, extent)| extent.length).sum::<u64>();
                self.check(inode.used == used, || format!("{file} uses {used}, and says {}", inode.used));
                let cut = body.cut.is_some() == (matches!(self.intents.get(&file), Some(Intent::Cut { .. })));
                let going = matches!(self.intents.get(&file), Some(Intent::Delete { .. }));
                self.check(cut || going, || format!("the cut of {file} has no intent, or the other way"));
            }
            self.inodes.insert(file, inode);
        }
        self.extents = extents;
    }

    /// Pieces are as often referred to as they say, and stripes have what their pieces have.
    fn stripes(&mut self) {
        let mut references: BTreeMap<(FsId, StripeId, u32), u32> = BTreeMap::new();
        let extents = std::mem::take(&mut self.extents);
        for (file, runs) in &extents {
            for (offset, extent) in runs {
                match &extent.source {
                    Source::Unwritten => {}
                    Source::Inline(bytes) => {
                        let same = bytes.len() as u64 == extent.length;
                        self.check(same, || format!("the extent of {file} at {offset} has another length"));
                    }
                    Source::Piece { stripe, piece, within, .. } => {
                        *references.entry((file.fs, *stripe, *piece)).or_default() += 1;
                        let record = self.pieces.get(&(file.fs, *stripe)).and_then(|all| all.get(piece));
                        let end = u64::from(*within) + extent.length;
                        let inside = record.is_some_and(|record| end <= u64::from(record.length));
                        self.check(inside, || {
                            format!("the extent of {file} at {offset} is not inside its piece")
                        });
                    }
                }
            }
        }
        self.extents = extents;
        let pieces = std::mem::take(&mut self.pieces);
        for ((fs, stripe), all) in &pieces {
            for (at, piece) in all {
                let referred = references.get(&(*fs, *stripe, *at)).copied().unwrap_or(0);
                let says = piece.references;
                self.check(says == referred && says > 0, || {
                    format!("piece {at} of {stripe:?} has {referred} references, and says {says}")
                });
            }
            let ends = all.iter().map(|(at, piece)| at.checked_add(piece.length));
            let apart = all.keys().skip(1).zip(ends).all(|(next, end)| end.is_some_and(|end| end <= *next));
            self.check(apart, || format!("pieces of {stripe:?} overlap"));
            let known = self.stripes.contains_key(&(*fs, *stripe));
            self.check(known, || format!("pieces of {stripe:?}, which is not there"));
        }
        for ((fs, stripe), record) in std::mem::take(&mut self.stripes) {
            let all = pieces.get(&(fs, stripe));
            let number = all.map_or(0, BTreeMap::len) as u32;
            let live: u32 = all.into_iter().flat_map(|all| all.values()).map(|piece| piece.length).sum();
            self.check(number > 0 && record.pieces == number && record.live == live, || {
                format!("{stripe:?} has {number} pieces with {live} bytes, and says {record:?}")
            });
            let both = self.garbage.contains_key(&(fs, stripe)) || self.buried.contains(&stripe);
            self.check(!both, || format!("{stripe:?} is live, and garbage or buried"));
            self.stripes.insert((fs, stripe), record);
        }
        self.pieces = pieces;
    }

    /// Counters are right, and ahead of every number that was given out.
    fn counts(&mut self) {
        let mut inodes: BTreeMap<(FsId, Slot), (u64, u64)> = BTreeMap::new();
        for file in self.inodes.keys() {
            let (number, last) = inodes.entry((file.fs, file.ino.slot())).or_default();
            *number += 1;
            *last = file.ino.sequence().max(*last);
        }
        for (place, (number, _)) in self.going.counted.iter().filter(|(_, (number, _))| *number > 0) {
            inodes.entry(*place).or_default().0 += number;
        }
        let counters = std::mem::take(&mut self.counters);
        for ((fs, slot), says) in &counters {
            let right = !says.closed || self.going.filesystems.contains(fs);
            self.check(right, || format!("slot {} of {fs:?} is closed, and it stays", slot.0));
        }
        for (place, (number, last)) in &inodes {
            let says = counters.get(place).cloned().unwrap_or_default();
            self.check(says.inodes == *number && says.inode >= *last, || {
                format!("{place:?} has {number} inodes up to {last}, and says {says:?}")
            });
        }
        for (place, says) in &counters {
            let right = place.0 == FsId(0) || says.inodes == 0 || inodes.contains_key(place);
            self.check(right, || format!("{place:?} has no inodes, and says {says:?}"));
        }
        for stripe in self.known_stripes().keys() {
            let id = InodeId(stripe.0);
            let granted = counters.get(&(FsId(0), id.slot())).map_or(0, |counters| counters.stripe);
            self.check(granted >= id.sequence(), || format!("{stripe:?} was never granted"));
        }
        self.counters = counters;
    }

    /// Accounts say what is there, and each extent that holds its bytes is known to be folded.
    fn accounts(&mut self) {
        let mut counted: BTreeMap<(FsId, Slot), Account> = BTreeMap::new();
        for (file, inode) in &self.inodes {
            counted.entry((file.fs, file.ino.slot())).or_default().used += inode.used;
        }
        let mut unfolded = BTreeMap::new();
        for (file, runs) in &self.extents {
            for (offset, extent) in runs {
                if let Source::Inline(bytes) = &extent.source {
                    unfolded.insert((*file, *offset), Unfolded { bytes: bytes.len() as u32 });
                    let account = counted.entry((file.fs, file.ino.slot())).or_default();
                    account.unfolded += 1;
                    account.unfolded_bytes += bytes.len() as u64;
                }
            }
        }
        for ((fs, stripe), record) in &self.stripes {
            counted.entry((*fs, InodeId(stripe.0).slot())).or_default().add_live(record);
        }
        for ((fs, stripe), record) in &self.garbage {
            counted.entry((*fs, InodeId(stripe.0).slot())).or_default().add_garbage(record);
        }
        for (place, (_, more)) in &self.going.counted {
            let account = counted.entry(*place).or_default();
            *account = account.plus(more);
        }
        counted.retain(|_, account| *account != Account::default());
        let (says, known) = (std::mem::take(&mut self.accounts), std::mem::take(&mut self.unfolded));
        self.check(counted == says, || format!("there is {counted:#?}, and accounts say {says:#?}"));
        self.check(known == unfolded, || format!("to be folded are {unfolded:?}, and known are {known:?}"));
        (self.accounts, self.unfolded) = (says, known);
    }
}
