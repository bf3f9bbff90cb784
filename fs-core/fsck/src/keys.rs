//! Keys of a shard's map, taken apart and put together as `docs/formats/keys.md` has them.

use types::{Cookie, FileId, FsId, InodeId, Slot, StripeId};

pub(crate) const COUNTERS: u8 = 0x01;
pub(crate) const ACCOUNT: u8 = 0x02;
pub(crate) const RENAMES: u8 = 0x03;
pub(crate) const SCRUB: u8 = 0x04;
pub(crate) const FILESYSTEM: u8 = 0x08;
pub(crate) const FILESYSTEM_NAME: u8 = 0x09;
pub(crate) const REMOVAL: u8 = 0x0a;
pub(crate) const INODE: u8 = 0x10;
pub(crate) const ENTRY: u8 = 0x20;
pub(crate) const ENTRY_NAME: u8 = 0x21;
pub(crate) const EXTENT: u8 = 0x30;
pub(crate) const UNFOLDED: u8 = 0x31;
pub(crate) const PIECE: u8 = 0x40;
pub(crate) const STRIPE: u8 = 0x41;
pub(crate) const GARBAGE: u8 = 0x42;
pub(crate) const BURIED: u8 = 0x43;
pub(crate) const XATTR: u8 = 0x50;
pub(crate) const ORPHAN: u8 = 0x60;
pub(crate) const INTENT: u8 = 0x68;
pub(crate) const REPLAY: u8 = 0x70;
pub(crate) const CLIENT: u8 = 0x78;
pub(crate) const ENDED: u8 = 0x79;

const PREFIX: usize = 11;
/// The only branch and layer that there are.
const BRANCH: [u8; 4] = [0; 4];
const LAYER: [u8; 4] = [0xff; 4];

/// A key without its layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) slot: Slot,
    pub(crate) fs: FsId,
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
}

fn number<const N: usize>(bytes: &[u8]) -> Option<u64> {
    let mut wide = [0; 8];
    wide[8 - N..].copy_from_slice(bytes.get(..N)?);
    Some(u64::from_be_bytes(wide))
}

impl<'a> Key<'a> {
    /// `None` for what is no key of branch 0 and layer 0.
    pub(crate) fn parse(key: &'a [u8]) -> Option<Key<'a>> {
        let body = key.get(PREFIX..key.len().checked_sub(LAYER.len())?)?;
        if !key.ends_with(&LAYER) || key.get(6..10)? != BRANCH {
            return None;
        }
        let slot = Slot(u16::from_be_bytes(key.get(..2)?.try_into().ok()?));
        let fs = FsId(u32::from_be_bytes(key.get(2..6)?.try_into().ok()?));
        Some(Key { slot, fs, kind: *key.get(10)?, body })
    }

    /// The inode or stripe that the body begins with, when `more` bytes follow.
    fn first(&self, more: impl Fn(usize) -> bool) -> Option<InodeId> {
        let rest = self.body.len().checked_sub(6)?;
        if more(rest) { Some(InodeId::new(self.slot, number::<6>(self.body)?)) } else { None }
    }

    /// A body that is an inode alone.
    pub(crate) fn inode(&self) -> Option<InodeId> {
        self.first(|rest| rest == 0)
    }

    /// A body that is an inode and a number of eight bytes: a cookie or an offset.
    pub(crate) fn inode_and_number(&self) -> Option<(InodeId, u64)> {
        Some((self.first(|rest| rest == 8)?, number::<8>(&self.body[6..])?))
    }

    /// A body that is an inode and a name with its NUL.
    pub(crate) fn inode_and_name(&self) -> Option<(InodeId, &'a [u8])> {
        Some((self.first(|rest| rest > 1)?, self.body[6..].strip_suffix(&[0])?))
    }

    /// A body that is a filesystem alone.
    pub(crate) fn filesystem(&self) -> Option<FsId> {
        Some(FsId(u32::from_be_bytes(self.body.try_into().ok()?)))
    }

    /// A body that is a stripe alone.
    pub(crate) fn stripe(&self) -> Option<StripeId> {
        self.inode().map(|id| StripeId(id.0))
    }

    /// A body that is a stripe and a place in it.
    pub(crate) fn piece(&self) -> Option<(StripeId, u32)> {
        let id = self.first(|rest| rest == 4)?;
        Some((StripeId(id.0), u32::from_be_bytes(self.body[6..].try_into().ok()?)))
    }
}

fn build(slot: Slot, fs: FsId, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(48);
    key.extend_from_slice(&slot.0.to_be_bytes());
    key.extend_from_slice(&fs.0.to_be_bytes());
    key.extend_from_slice(&BRANCH);
    key.push(kind);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn whole(slot: Slot, fs: FsId, kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = build(slot, fs, kind, parts);
    key.extend_from_slice(&LAYER);
    key
}

fn sequence(id: u64) -> [u8; 6] {
    let bytes = id.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

pub(crate) fn inode(file: FileId) -> Vec<u8> {
    whole(file.ino.slot(), file.fs, INODE, &[&sequence(file.ino.0)])
}

pub(crate) fn entry(dir: FileId, cookie: Cookie) -> Vec<u8> {
    whole(dir.ino.slot(), dir.fs, ENTRY, &[&sequence(dir.ino.0), &cookie.0.to_be_bytes()])
}

/// From the first entry of `dir` to one past its last, by cookie.
pub(crate) fn entries(dir: FileId) -> (Vec<u8>, Vec<u8>) {
    let of = |end: &[u8]| build(dir.ino.slot(), dir.fs, ENTRY, &[&sequence(dir.ino.0), end]);
    (of(&[]), of(&[0xff; 9]))
}

pub(crate) fn entry_name(dir: FileId, name: &[u8], is_directory: bool) -> Vec<u8> {
    let end: &[u8] = if is_directory { b"/\0" } else { b"\0" };
    whole(dir.ino.slot(), dir.fs, ENTRY_NAME, &[&sequence(dir.ino.0), name, end])
}

fn of_offset(file: FileId, kind: u8, offset: u64) -> Vec<u8> {
    whole(file.ino.slot(), file.fs, kind, &[&sequence(file.ino.0), &offset.to_be_bytes()])
}

pub(crate) fn extent(file: FileId, offset: u64) -> Vec<u8> {
    of_offset(file, EXTENT, offset)
}

pub(crate) fn unfolded(file: FileId, offset: u64) -> Vec<u8> {
    of_offset(file, UNFOLDED, offset)
}

fn of_stripe(fs: FsId, kind: u8, stripe: StripeId) -> Vec<u8> {
    whole(InodeId(stripe.0).slot(), fs, kind, &[&sequence(stripe.0)])
}

pub(crate) fn stripe(fs: FsId, stripe: StripeId) -> Vec<u8> {
    of_stripe(fs, STRIPE, stripe)
}

pub(crate) fn garbage(fs: FsId, stripe: StripeId) -> Vec<u8> {
    of_stripe(fs, GARBAGE, stripe)
}

pub(crate) fn piece(fs: FsId, stripe: StripeId, at: u32) -> Vec<u8> {
    whole(InodeId(stripe.0).slot(), fs, PIECE, &[&sequence(stripe.0), &at.to_be_bytes()])
}

pub(crate) fn filesystem(fs: FsId) -> Vec<u8> {
    whole(Slot(0), FsId(0), FILESYSTEM, &[&fs.0.to_be_bytes()])
}

pub(crate) fn filesystem_name(name: &[u8]) -> Vec<u8> {
    whole(Slot(0), FsId(0), FILESYSTEM_NAME, &[name, &[0]])
}

/// All filesystems by number: from, to.
pub(crate) fn filesystems() -> (Vec<u8>, Vec<u8>) {
    (build(Slot(0), FsId(0), FILESYSTEM, &[]), build(Slot(0), FsId(0), FILESYSTEM + 1, &[]))
}

/// All filesystems that are being removed: from, to.
pub(crate) fn removals() -> (Vec<u8>, Vec<u8>) {
    (build(Slot(0), FsId(0), REMOVAL, &[]), build(Slot(0), FsId(0), REMOVAL + 1, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_format() {
        let dir = FileId { fs: FsId(7), ino: InodeId::new(Slot(3), 9) };
        let made = entry_name(dir, b"a", true);
        assert_eq!(made, b"\0\x03\0\0\0\x07\0\0\0\0\x21\0\0\0\0\0\x09a/\0\xff\xff\xff\xff");
        let key = Key::parse(&made).unwrap();
        assert_eq!((key.slot, key.fs, key.kind), (Slot(3), FsId(7), ENTRY_NAME));
        assert_eq!(key.inode_and_name(), Some((dir.ino, &b"a/"[..])));
        assert_eq!(Key::parse(&entry(dir, Cookie(77))).unwrap().inode_and_number(), Some((dir.ino, 77)));
        assert_eq!(Key::parse(&stripe(FsId(1), StripeId(5))).unwrap().stripe(), Some(StripeId(5)));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = inode(FileId::root(FsId(1)));
        for cut in 0..good.len() {
            let key = Key::parse(&good[..cut]);
            assert!(key.is_none_or(|key| key.inode().is_none()), "{cut}");
        }
        let mut branch = good.clone();
        branch[9] = 1;
        let mut layer = good.clone();
        layer[20] = 0;
        assert!(Key::parse(&branch).is_none() && Key::parse(&layer).is_none());
        assert!(Key::parse(&good).unwrap().piece().is_none());
    }
}
