//! What is remembered of one slot of one filesystem while its records go by in the order of their keys.

use crate::records::{Account, Body, Counters, Inode, Intent, Kind};
use std::collections::{BTreeMap, HashMap};
use types::{FileId, FsId, InodeId, Slot, StripeId};

/// An inode: what it says, and what was counted.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) ino: InodeId,
    /// `None`: its record cannot be read, so that nothing can be said of it.
    pub(crate) says: Option<Says>,
    pub(crate) names: u32,
    pub(crate) entries: u64,
    pub(crate) subdirectories: u32,
    pub(crate) displaced: u32,
    pub(crate) extents: u64,
    pub(crate) xattrs: u32,
    pub(crate) xattr_names: usize,
    pub(crate) orphan: bool,
    pub(crate) intent: Option<Intent>,
}

/// The part of an inode's record that others depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Says {
    pub(crate) kind: Kind,
    pub(crate) links: u32,
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) change: u64,
    pub(crate) xattrs: u32,
    /// Of a directory.
    pub(crate) parent: u64,
    pub(crate) displaced: u32,
    /// Of a file.
    pub(crate) inline: Option<u64>,
    pub(crate) cut: Option<u64>,
}

impl Says {
    pub(crate) fn of(inode: &Inode) -> Says {
        let &Inode { kind, links, size, used, change, xattrs, .. } = inode;
        let (mut parent, mut displaced, mut inline, mut cut) = (0, 0, None, None);
        match &inode.body {
            Body::Directory { parent: p, displaced: d, .. } => (parent, displaced) = (*p, *d),
            Body::File { inline: i, cut: c, .. } => {
                (inline, cut) = (i.as_ref().map(|i| i.len() as u64), *c);
            }
            Body::None | Body::Symlink(_) => {}
        }
        Says { kind, links, size, used, change, xattrs, parent, displaced, inline, cut }
    }
}

impl Seen {
    pub(crate) fn new(ino: InodeId, says: Option<Says>) -> Seen {
        Seen {
            ino,
            says,
            names: 0,
            entries: 0,
            subdirectories: 0,
            displaced: 0,
            extents: 0,
            xattrs: 0,
            xattr_names: 0,
            orphan: false,
            intent: None,
        }
    }

    /// It has no name any more, and is open or being removed.
    pub(crate) fn leaves(&self) -> bool {
        self.orphan || self.intent.is_some_and(Intent::deletes)
    }
}

/// Extents that refer to one piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uses {
    pub(crate) count: u32,
    /// The furthest byte of the piece that they need.
    pub(crate) end: u64,
    /// One of them.
    pub(crate) ino: InodeId,
    pub(crate) offset: u64,
}

impl Uses {
    pub(crate) fn add(&mut self, other: Uses) {
        self.count = self.count.saturating_add(other.count);
        if other.end > self.end {
            *self = Uses { count: self.count, ..other };
        }
    }
}

/// The pieces of a stripe.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sums {
    pub(crate) pieces: u32,
    pub(crate) live: u64,
    pub(crate) end: u64,
    pub(crate) overlap: bool,
}

/// One slot of one filesystem.
pub(crate) struct Part {
    pub(crate) slot: Slot,
    pub(crate) fs: FsId,
    pub(crate) counters: Option<Counters>,
    /// What its account says, and what there is.
    pub(crate) account: Option<Account>,
    pub(crate) counted: Account,
    /// In order.
    pub(crate) inodes: Vec<Seen>,
    pub(crate) uses: HashMap<(StripeId, u32), Uses>,
    pub(crate) sums: BTreeMap<StripeId, Sums>,
    /// The file of the last extent, and where that ends.
    pub(crate) extents_end: (u64, u64),
}

impl Part {
    pub(crate) fn new(slot: Slot, fs: FsId) -> Part {
        let (inodes, uses, sums) = (Vec::new(), HashMap::new(), BTreeMap::new());
        let (account, counted, extents_end) = (None, Account::default(), (u64::MAX, 0));
        Part { slot, fs, counters: None, account, counted, inodes, uses, sums, extents_end }
    }

    pub(crate) fn file(&self, ino: InodeId) -> FileId {
        FileId { fs: self.fs, ino }
    }

    pub(crate) fn inode(&mut self, ino: InodeId) -> Option<&mut Seen> {
        let at = self.inodes.binary_search_by_key(&ino, |seen| seen.ino).ok()?;
        self.inodes.get_mut(at)
    }
}
