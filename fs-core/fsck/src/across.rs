//! What refers from one slot to another: names, parents and pieces. Most do not, and are settled in their slot.

use crate::damage::{Findings, Kind};
use crate::part::Uses;
use crate::{keys, records};
use map::{MapError, OrderedMap};
use std::collections::{HashMap, HashSet};
use types::{FileId, FsId, InodeId, StripeId};

/// An inode that has not as many names in its own slot as it should have in all.
struct Unsettled {
    directory: bool,
    expected: u32,
    names: u32,
}

/// A piece that has not as many references from its own slot as it says.
struct Short {
    says: u32,
    found: u32,
}

/// About 24 bytes a directory, and 16 to 40 a reference over slots.
#[derive(Default)]
pub(crate) struct Across {
    names: HashMap<FileId, u32>,
    unsettled: HashMap<FileId, Unsettled>,
    parents: HashMap<FileId, InodeId>,
    uses: HashMap<(FsId, StripeId, u32), Uses>,
    short: HashMap<(FsId, StripeId, u32), Short>,
}

impl Across {
    /// `child` has a name in another slot.
    pub(crate) fn name(&mut self, child: FileId) {
        let names = self.names.entry(child).or_default();
        *names = names.saturating_add(1);
    }

    /// `file` has so many names in its own slot.
    pub(crate) fn settle(&mut self, file: FileId, directory: bool, expected: u32, names: u32) {
        if names != expected {
            self.unsettled.insert(file, Unsettled { directory, expected, names });
        }
    }

    pub(crate) fn directory(&mut self, dir: FileId, parent: InodeId) {
        self.parents.insert(dir, parent);
    }

    /// Extents refer to a piece in another slot.
    pub(crate) fn uses(&mut self, fs: FsId, stripe: StripeId, piece: u32, more: Uses) {
        self.uses.entry((fs, stripe, piece)).and_modify(|uses| uses.add(more)).or_insert(more);
    }

    /// A piece says that it has `says` references, and has `found` in its own slot.
    pub(crate) fn piece(&mut self, fs: FsId, stripe: StripeId, piece: u32, says: u32, found: u32) {
        if says != found {
            self.short.insert((fs, stripe, piece), Short { says, found });
        }
    }

    /// Everything was seen.
    pub(crate) fn finish(mut self, view: &dyn OrderedMap, findings: &mut Findings) -> Result<(), MapError> {
        self.finish_names(findings);
        self.finish_pieces(view, findings)?;
        self.finish_loops(findings);
        Ok(())
    }

    fn finish_names(&mut self, findings: &mut Findings) {
        let mut unsettled: Vec<_> = std::mem::take(&mut self.unsettled).into_iter().collect();
        unsettled.sort_by_key(|(file, _)| *file);
        for (file, Unsettled { directory, expected, names }) in unsettled {
            let names = names.saturating_add(self.names.remove(&file).unwrap_or(0));
            if names == expected {
                continue;
            }
            let (kind, what) = match (directory, names) {
                (_, 0) => {
                    (Kind::Unreachable, format!("inode {file} has no name, and should have {expected}"))
                }
                (true, _) => (Kind::Links, format!("directory {file} has {names} names, not {expected}")),
                (false, _) => (Kind::Links, format!("inode {file} has {names} names, and says {expected}")),
            };
            findings.add(kind, Some(file), || what);
        }
        let mut beyond: Vec<_> = self.names.drain().collect();
        beyond.sort_unstable();
        for (file, names) in beyond {
            findings.add(Kind::Links, Some(file), || format!("inode {file} has {names} names too many"));
        }
    }

    fn finish_pieces(&mut self, view: &dyn OrderedMap, findings: &mut Findings) -> Result<(), MapError> {
        let mut uses: Vec<_> = std::mem::take(&mut self.uses).into_iter().collect();
        uses.sort_by_key(|(place, _)| *place);
        for ((fs, stripe, at), uses) in uses {
            let record = view.get(&keys::piece(fs, stripe, at))?;
            let record = record.map(|value| records::decode::<records::Piece>(&value));
            // One that cannot be read is named already.
            let length = match record {
                Some(Err(_)) => continue,
                Some(Ok(piece)) => {
                    let known = Short { says: piece.references, found: piece.references };
                    let short = self.short.entry((fs, stripe, at)).or_insert(known);
                    short.found = short.found.saturating_add(uses.count);
                    Some(piece.length)
                }
                None => None,
            };
            missing_piece(findings, fs, (stripe, at), &uses, length);
        }
        let mut short: Vec<_> = self.short.drain().collect();
        short.sort_by_key(|(place, _)| *place);
        for ((fs, stripe, at), Short { says, found }) in short.into_iter().filter(|(_, s)| s.says != s.found)
        {
            findings.add(Kind::References, None, || {
                format!(
                    "the piece at {at} of stripe {} of filesystem {} says {says} references, and has {found}",
                    InodeId(stripe.0),
                    fs.0
                )
            });
        }
        Ok(())
    }

    /// Every directory must come to a root by its parents. An absent parent is named elsewhere.
    fn finish_loops(&self, findings: &mut Findings) {
        let mut settled: HashSet<FileId> = HashSet::with_capacity(self.parents.len());
        let mut all: Vec<FileId> = self.parents.keys().copied().collect();
        all.sort_unstable();
        for start in all {
            let mut path = HashSet::new();
            let mut at = start;
            while !settled.contains(&at) && path.insert(at) {
                match self.parents.get(&at) {
                    Some(parent) if at.ino != InodeId::ROOT => at = FileId { ino: *parent, ..at },
                    _ => break,
                }
            }
            // The walk came back to where it has been, and not to a root.
            let root = at.ino == InodeId::ROOT || !self.parents.contains_key(&at);
            if path.contains(&at) && !settled.contains(&at) && !root {
                findings.add(Kind::Loop, None, || {
                    format!("directory {at} is below itself and not below the root, with all that is in it")
                });
            }
            settled.extend(path);
        }
    }
}

/// Names the extents whose piece is not there (`length` is `None`), or too short for them.
pub(crate) fn missing_piece(
    findings: &mut Findings,
    fs: FsId,
    (stripe, at): (StripeId, u32),
    uses: &Uses,
    length: Option<u32>,
) {
    if length.is_some_and(|length| uses.end <= u64::from(length)) {
        return;
    }
    let file = FileId { fs, ino: uses.ino };
    let stripe = InodeId(stripe.0);
    findings.add(Kind::MissingPiece, Some(file), || match length {
        None => format!(
            "inode {file} needs the piece at {at} of stripe {stripe} for its byte {}, and there is none",
            uses.offset
        ),
        Some(length) => format!(
            "inode {file} needs {} bytes of the piece at {at} of stripe {stripe}, which has {length}",
            uses.end
        ),
    });
}
