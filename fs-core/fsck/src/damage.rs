//! What can be wrong, and the bounded list of what is.

use std::fmt;
use types::FileId;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Kinds of damage. [`Kind::word`] is what programs see; words are relied upon.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The kind as a word for programs.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Kind::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// A key or record that cannot be read, of an unknown version or kind.
    Record = "record",
    /// Records of a filesystem that is neither there nor being removed, or whose two records differ, or without a root; a
    /// slot that takes nothing new of a filesystem that is there.
    Filesystem = "filesystem",
    /// An entry whose inode is not there.
    DanglingEntry = "dangling-entry",
    /// An entry whose two records, by cookie and by name, do not agree.
    Entry = "entry",
    /// An entry or inode that is of another kind than it says.
    WrongKind = "wrong-kind",
    /// An entry where a look for its name does not find it.
    Cookie = "cookie",
    /// An inode with more or fewer names than it says.
    Links = "links",
    /// A directory with more or fewer entries than it says.
    DirectorySize = "directory-size",
    /// A directory that is not in the one that it calls its parent.
    Parent = "parent",
    /// Directories that are in each other, and not below the root.
    Loop = "loop",
    /// An inode that no name leads to and that does not wait to be removed.
    Unreachable = "unreachable",
    /// Something that waits to be removed and must not, or that is not there.
    Pending = "pending",
    /// An attribute with a value that it cannot have.
    Attribute = "attribute",
    /// An extent that overlaps another, is empty, or lies where none may be.
    Extent = "extent",
    /// Content in an inode that is too long, or beside extents.
    Inline = "inline",
    /// A file that uses more or fewer bytes than it says.
    Used = "used",
    /// Extended attributes that are not as many as their inode says, or too long.
    Xattr = "xattr",
    /// An extent in a piece that is not there or too short: content is lost.
    MissingPiece = "missing-piece",
    /// A piece to which more or fewer extents refer than it says.
    References = "references",
    /// A stripe that has other pieces than it says, or an impossible place.
    Stripe = "stripe",
    /// A stripe to be freed that is still needed.
    Garbage = "garbage",
    /// A counter that is behind, or does not count what is there.
    Counter = "counter",
    /// What a transaction has left: locks that nobody frees, or a decision that nobody needs.
    Transaction = "transaction",
    /// An account that does not say what the files of its slot take.
    Account = "account",
    /// An extent that holds its bytes itself and is not known to be folded, or the other way.
    Unfolded = "unfolded",
    /// A live stripe with fewer chunks than it should have; parity makes up for them.
    Degraded = "degraded",
    /// A live stripe with fewer chunks than reading needs: content is lost.
    Lost = "lost",
    /// A chunk that is not what its stripe says.
    WrongChunk = "wrong-chunk",
    /// A chunk that no stripe needs and nobody is going to free.
    OrphanChunk = "orphan-chunk",
    /// A drive that could not be looked at.
    Drive = "drive",
    /// There is more than a report holds.
    More = "more",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// What kind of damage.
    pub kind: Kind,
    /// What is damaged and how: one sentence with the inode and its path, the stripe, or the drive.
    pub what: String,
}

/// Most damages that one report names; the rest is counted.
pub const DAMAGE_MAX: usize = 10_000;

/// Damage found so far, with the inode it is about where there is one.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<(Kind, Option<FileId>, String)>,
    pub(crate) omitted: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: Kind, file: Option<FileId>, what: impl FnOnce() -> String) {
        if self.found.len() < DAMAGE_MAX {
            self.found.push((kind, file, what()));
        } else {
            self.omitted += 1;
        }
    }

    /// Adds a damage about `file` unless `holds`.
    pub(crate) fn must(&mut self, holds: bool, kind: Kind, file: FileId, what: impl FnOnce() -> String) {
        if !holds {
            self.add(kind, Some(file), what);
        }
    }
}
