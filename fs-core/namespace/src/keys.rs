//! Keys of a shard's map, in an order that keeps together what is read together.
//!
//! `slot (2) | filesystem (4) | branch (4) | kind (1) | body | layer, descending (4)`, all big-endian.
//! `docs/formats/keys.md` is the page for this file.

use types::{Cookie, FileId, FsId, InodeId, Name, RequestId, Slot, StripeId};

/// Kinds of records; a value is never given a second meaning.
pub mod kind {
    /// Counters of a slot.
    pub const COUNTERS: u8 = 0x01;
    /// What a slot's files take.
    pub const ACCOUNT: u8 = 0x02;
    /// The lease of renames, in the root's slot.
    pub const RENAMES: u8 = 0x03;
    /// How far the stripes of a slot have been read again, in filesystem 0.
    pub const SCRUB: u8 = 0x04;
    /// A filesystem, in slot 0 of filesystem 0.
    pub const FILESYSTEM: u8 = 0x08;
    /// A filesystem's name, in slot 0 of filesystem 0.
    pub const FILESYSTEM_NAME: u8 = 0x09;
    /// A filesystem that is being removed, in slot 0 of filesystem 0.
    pub const REMOVAL: u8 = 0x0a;
    /// An inode.
    pub const INODE: u8 = 0x10;
    /// A directory entry by cookie.
    pub const ENTRY: u8 = 0x20;
    /// A directory entry by name.
    pub const ENTRY_NAME: u8 = 0x21;
    /// A run of a file's bytes.
    pub const EXTENT: u8 = 0x30;
    /// An extent that holds its bytes itself: to be folded into a stripe.
    pub const UNFOLDED: u8 = 0x31;
    /// A run of bytes of a stripe.
    pub const PIECE: u8 = 0x40;
    /// A stripe.
    pub const STRIPE: u8 = 0x41;
    /// A stripe of which no byte is live, to be freed.
    pub const GARBAGE: u8 = 0x42;
    /// A stripe that was never committed and never will be, in filesystem 0.
    pub const BURIED: u8 = 0x43;
    /// An extended attribute.
    pub const XATTR: u8 = 0x50;
    /// An inode without a name that may be open.
    pub const ORPHAN: u8 = 0x60;
    /// Work left to be done in steps.
    pub const INTENT: u8 = 0x68;
    /// The reply to a client's last change on a channel.
    pub const REPLAY: u8 = 0x70;
    /// A client that is remembered over restarts, in slot 0 of filesystem 0.
    pub const CLIENT: u8 = 0x78;
    /// A client that has ended and whose replays are to be forgotten, in slot 0 of filesystem 0.
    pub const ENDED: u8 = 0x79;
}

/// The only branch and layer until there are clones and snapshots.
const BRANCH: u32 = 0;
const LAYER: u32 = 0;
/// Bytes before a key's body.
pub const PREFIX_BYTES: usize = 2 + 4 + 4 + 1;
/// Bytes after a key's body.
pub const SUFFIX_BYTES: usize = 4;

struct Key(Vec<u8>);

impl Key {
    fn new(slot: Slot, fs: FsId, kind: u8) -> Key {
        let mut key = Vec::with_capacity(48);
        key.extend_from_slice(&slot.0.to_be_bytes());
        key.extend_from_slice(&fs.0.to_be_bytes());
        key.extend_from_slice(&BRANCH.to_be_bytes());
        key.push(kind);
        Key(key)
    }

    fn of(file: FileId, kind: u8) -> Key {
        Key::new(file.ino.slot(), file.fs, kind).sequence(file.ino.sequence())
    }

    fn sequence(self, sequence: u64) -> Key {
        self.bytes(&sequence.to_be_bytes()[2..])
    }

    fn bytes(mut self, bytes: &[u8]) -> Key {
        self.0.extend_from_slice(bytes);
        self
    }

    fn end(self) -> Vec<u8> {
        self.bytes(&(!LAYER).to_be_bytes()).0
    }
}

/// Counters of `slot` in `fs`.
#[must_use]
pub fn counters(fs: FsId, slot: Slot) -> Vec<u8> {
    Key::new(slot, fs, kind::COUNTERS).end()
}

/// The lease under which directories of `fs` move to other parents.
#[must_use]
pub fn renames(fs: FsId) -> Vec<u8> {
    Key::new(Slot(0), fs, kind::RENAMES).end()
}

/// As [`renames`], where they are only in slot 0.
#[must_use]
pub(crate) fn renames_in(fs: FsId, slot: Slot) -> Vec<u8> {
    Key::new(slot, fs, kind::RENAMES).end()
}

/// What the files of `fs` in `slot` take.
#[must_use]
pub fn account(fs: FsId, slot: Slot) -> Vec<u8> {
    Key::new(slot, fs, kind::ACCOUNT).end()
}

/// How far the stripes of `slot` have been read again.
#[must_use]
pub fn scrub(slot: Slot) -> Vec<u8> {
    Key::new(slot, FsId(0), kind::SCRUB).end()
}

/// The record of a filesystem.
#[must_use]
pub fn filesystem(fs: FsId) -> Vec<u8> {
    Key::new(Slot(0), FsId(0), kind::FILESYSTEM).bytes(&fs.0.to_be_bytes()).end()
}

/// A filesystem by its name.
#[must_use]
pub fn filesystem_name(name: &str) -> Vec<u8> {
    Key::new(Slot(0), FsId(0), kind::FILESYSTEM_NAME).bytes(name.as_bytes()).bytes(&[0]).end()
}

/// First and one past the last key of all filesystems by name.
#[must_use]
pub fn filesystem_names() -> (Vec<u8>, Vec<u8>) {
    (
        Key::new(Slot(0), FsId(0), kind::FILESYSTEM_NAME).0,
        Key::new(Slot(0), FsId(0), kind::FILESYSTEM_NAME + 1).0,
    )
}

/// That a filesystem is being removed.
#[must_use]
pub fn removal(fs: FsId) -> Vec<u8> {
    Key::new(Slot(0), FsId(0), kind::REMOVAL).bytes(&fs.0.to_be_bytes()).end()
}

/// First and one past the last key of all filesystems that are being removed.
#[must_use]
pub fn removals() -> (Vec<u8>, Vec<u8>) {
    (Key::new(Slot(0), FsId(0), kind::REMOVAL).0, Key::new(Slot(0), FsId(0), kind::REMOVAL + 1).0)
}

/// The filesystem in a key made by [`removal`].
#[must_use]
pub fn removal_of(key: &[u8]) -> Option<FsId> {
    let body = key.get(PREFIX_BYTES..key.len().checked_sub(SUFFIX_BYTES)?)?;
    Some(FsId(u32::from_be_bytes(body.try_into().ok()?)))
}

/// An inode.
#[must_use]
pub fn inode(file: FileId) -> Vec<u8> {
    Key::of(file, kind::INODE).end()
}

/// A directory entry by cookie.
#[must_use]
pub fn entry(dir: FileId, cookie: Cookie) -> Vec<u8> {
    Key::of(dir, kind::ENTRY).bytes(&cookie.0.to_be_bytes()).end()
}

/// The keys of the entries of `dir` after `cookie`: from, to.
#[must_use]
pub fn entries_after(dir: FileId, cookie: Cookie) -> (Vec<u8>, Vec<u8>) {
    (entry(dir, Cookie(cookie.0 + 1)), Key::of(dir, kind::ENTRY).bytes(&u64::MAX.to_be_bytes()).end())
}

/// The cookie in a key made by [`entry`].
#[must_use]
pub fn entry_cookie(key: &[u8]) -> Option<Cookie> {
    let bytes = key.get(PREFIX_BYTES + 6..key.len().checked_sub(SUFFIX_BYTES)?)?;
    Some(Cookie(u64::from_be_bytes(bytes.try_into().ok()?)))
}

/// A directory entry by name; directories stand where `name/` would.
#[must_use]
pub fn entry_name(dir: FileId, name: &Name, is_directory: bool) -> Vec<u8> {
    let key = Key::of(dir, kind::ENTRY_NAME).bytes(name.as_bytes());
    if is_directory { key.bytes(b"/\0").end() } else { key.bytes(b"\0").end() }
}

/// The extent of `file` that begins at `offset`.
#[must_use]
pub fn extent(file: FileId, offset: u64) -> Vec<u8> {
    Key::of(file, kind::EXTENT).bytes(&offset.to_be_bytes()).end()
}

/// The keys of the extents of `file` that begin at `from..to`.
#[must_use]
pub fn extents(file: FileId, from: u64, to: u64) -> (Vec<u8>, Vec<u8>) {
    (extent(file, from), extent(file, to))
}

/// The offset in a key made by [`extent`].
#[must_use]
pub fn extent_offset(key: &[u8]) -> Option<u64> {
    entry_cookie(key).map(|cookie| cookie.0)
}

/// That the extent of `file` at `offset` holds its bytes itself.
#[must_use]
pub fn unfolded(file: FileId, offset: u64) -> Vec<u8> {
    Key::of(file, kind::UNFOLDED).bytes(&offset.to_be_bytes()).end()
}

/// The place in a key made by [`unfolded`].
#[must_use]
pub fn unfolded_at(key: &[u8]) -> Option<(FileId, u64)> {
    Some((parse_inode(key)?, extent_offset(key)?))
}

fn stripe_key(fs: FsId, stripe: StripeId, kind: u8) -> Key {
    let id = InodeId(stripe.0);
    Key::new(id.slot(), fs, kind).sequence(id.sequence())
}

/// The record of a stripe that is of this kind.
#[must_use]
pub fn of_stripe(fs: FsId, stripe: StripeId, kind: u8) -> Vec<u8> {
    stripe_key(fs, stripe, kind).end()
}

/// A stripe.
#[must_use]
pub fn stripe(fs: FsId, stripe: StripeId) -> Vec<u8> {
    of_stripe(fs, stripe, kind::STRIPE)
}

/// A stripe to be freed.
#[must_use]
pub fn garbage(fs: FsId, stripe: StripeId) -> Vec<u8> {
    of_stripe(fs, stripe, kind::GARBAGE)
}

/// That a stripe will never be committed.
#[must_use]
pub fn buried(stripe: StripeId) -> Vec<u8> {
    of_stripe(FsId(0), stripe, kind::BURIED)
}

/// The piece of a stripe that begins at byte `at` of it.
#[must_use]
pub fn piece(fs: FsId, stripe: StripeId, at: u32) -> Vec<u8> {
    stripe_key(fs, stripe, kind::PIECE).bytes(&at.to_be_bytes()).end()
}

/// An extended attribute.
#[must_use]
pub fn xattr(file: FileId, name: &Name) -> Vec<u8> {
    Key::of(file, kind::XATTR).bytes(name.as_bytes()).bytes(&[0]).end()
}

/// The extended attribute that Linux keeps a program's capabilities in.
#[must_use]
pub fn capability(file: FileId) -> Vec<u8> {
    Key::of(file, kind::XATTR).bytes(b"security.capability\0").end()
}

/// The keys of all extended attributes of `file`.
#[must_use]
pub fn xattrs(file: FileId) -> (Vec<u8>, Vec<u8>) {
    (Key::of(file, kind::XATTR).0, Key::of(file, kind::XATTR).bytes(&[0xff; 256]).0)
}

/// The name in a key made by [`xattr`].
#[must_use]
pub fn xattr_name(key: &[u8]) -> Option<Name> {
    let bytes = key.get(PREFIX_BYTES + 6..key.len().checked_sub(SUFFIX_BYTES + 1)?)?;
    Name::new(bytes.to_vec()).ok()
}

/// An inode without a name.
#[must_use]
pub fn orphan(file: FileId) -> Vec<u8> {
    Key::of(file, kind::ORPHAN).end()
}

/// What is left to be done about an inode.
#[must_use]
pub fn intent(file: FileId) -> Vec<u8> {
    Key::of(file, kind::INTENT).end()
}

/// The last change of a client on a channel, kept in the slot of what it changed.
#[must_use]
pub fn replay(fs: FsId, slot: Slot, request: &RequestId) -> Vec<u8> {
    let key = Key::new(slot, fs, kind::REPLAY).bytes(&request.client.to_be_bytes());
    key.bytes(&request.channel.to_be_bytes()).end()
}

/// The keys of a client's replays in a slot, from one channel to another: from, to.
#[must_use]
pub fn replays(fs: FsId, slot: Slot, client: u128, (first, last): (u32, u32)) -> (Vec<u8>, Vec<u8>) {
    let key = |channel: u32| {
        Key::new(slot, fs, kind::REPLAY).bytes(&client.to_be_bytes()).bytes(&channel.to_be_bytes())
    };
    (key(first).0, key(last).bytes(&[0xff; SUFFIX_BYTES + 1]).0)
}

/// Client and channel of a key of [`replay`].
#[must_use]
pub fn parse_replay(key: &[u8]) -> Option<(u128, u32)> {
    let body = key.get(PREFIX_BYTES..key.len().checked_sub(SUFFIX_BYTES)?)?;
    let (client, channel) = body.split_at_checked(16)?;
    Some((u128::from_be_bytes(client.try_into().ok()?), u32::from_be_bytes(channel.try_into().ok()?)))
}

fn of_client(client: u128) -> Key {
    Key::new(Slot(0), FsId(0), kind::CLIENT).bytes(&client.to_be_bytes())
}

/// What is remembered of a client.
#[must_use]
pub fn client(client: u128) -> Vec<u8> {
    of_client(client).end()
}

/// That a client has ended.
#[must_use]
pub fn ended(client: u128) -> Vec<u8> {
    Key::new(Slot(0), FsId(0), kind::ENDED).bytes(&client.to_be_bytes()).end()
}

/// The keys of the clients after this one, or of all: from, to.
#[must_use]
pub fn clients_after(after: Option<u128>) -> (Vec<u8>, Vec<u8>) {
    let from = match after {
        // Longer than the client's own key, and before that of the next.
        Some(client) => of_client(client).bytes(&[0xff; SUFFIX_BYTES + 1]).0,
        None => Key::new(Slot(0), FsId(0), kind::CLIENT).0,
    };
    (from, Key::new(Slot(0), FsId(0), kind::CLIENT + 1).0)
}

/// The client in a key made by [`client`].
#[must_use]
pub fn client_id(key: &[u8]) -> Option<u128> {
    let bytes = key.get(PREFIX_BYTES..key.len().checked_sub(SUFFIX_BYTES)?)?;
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

/// All keys of `kind` in one slot of one filesystem.
#[must_use]
pub fn all_of(fs: FsId, slot: Slot, kind: u8) -> (Vec<u8>, Vec<u8>) {
    (Key::new(slot, fs, kind).0, Key::new(slot, fs, kind + 1).0)
}

/// First and one past the last key of `slot`, from filesystem `fs` on.
#[must_use]
pub fn slot_from(fs: FsId, slot: Slot) -> (Vec<u8>, Vec<u8>) {
    let end = slot.0.checked_add(1).map_or_else(|| vec![0xff; 64], |next| next.to_be_bytes().to_vec());
    (Key::new(slot, fs, 0).0, end)
}

/// First and one past the last key of one filesystem in one slot.
#[must_use]
pub fn all_in(fs: FsId, slot: Slot) -> (Vec<u8>, Vec<u8>) {
    let end = fs.0.checked_add(1).map_or_else(|| slot_from(fs, slot).1, |next| slot_from(FsId(next), slot).0);
    (Key::new(slot, fs, 0).0, end)
}

/// The filesystem in a key.
#[must_use]
pub fn parse_fs(key: &[u8]) -> Option<FsId> {
    Some(FsId(u32::from_be_bytes(key.get(2..6)?.try_into().ok()?)))
}

/// The filesystem and the kind in a key.
#[must_use]
pub fn parse_kind(key: &[u8]) -> Option<(FsId, u8)> {
    let fs = u32::from_be_bytes(key.get(2..6)?.try_into().ok()?);
    Some((FsId(fs), *key.get(PREFIX_BYTES - 1)?))
}

/// The slot in a key.
#[must_use]
pub fn parse_slot(key: &[u8]) -> Option<Slot> {
    Some(Slot(u16::from_be_bytes(key.get(0..2)?.try_into().ok()?)))
}

/// The inode in a key whose body begins with its sequence.
#[must_use]
pub fn parse_inode(key: &[u8]) -> Option<FileId> {
    let slot = u16::from_be_bytes(key.get(0..2)?.try_into().ok()?);
    let fs = u32::from_be_bytes(key.get(2..6)?.try_into().ok()?);
    let mut sequence = [0; 8];
    sequence[2..].copy_from_slice(key.get(PREFIX_BYTES..PREFIX_BYTES + 6)?);
    Some(FileId { fs: FsId(fs), ino: InodeId::new(Slot(slot), u64::from_be_bytes(sequence)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: FileId = FileId { fs: FsId(7), ino: InodeId::new(Slot(3), 9) };

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn keys_on_drives_are_frozen() {
        assert_eq!(
            extent(DIR, 0x1122).as_slice(),
            b"\0\x03\0\0\0\x07\0\0\0\0\x30\0\0\0\0\0\x09\0\0\0\0\0\0\x11\x22\xff\xff\xff\xff"
        );
        assert_eq!(
            entry_name(DIR, &name("a"), true).as_slice(),
            b"\0\x03\0\0\0\x07\0\0\0\0\x21\0\0\0\0\0\x09a/\0\xff\xff\xff\xff"
        );
        assert_eq!(
            client(0x0102).as_slice(),
            b"\0\0\0\0\0\0\0\0\0\0\x78\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\xff\xff\xff\xff"
        );
    }

    #[test]
    fn ranges_begin_and_end_where_they_say() {
        let within =
            |key: &[u8], (from, to): (Vec<u8>, Vec<u8>)| from.as_slice() <= key && key < to.as_slice();
        for (id, after, listed) in
            [(7, None, true), (7, Some(6), true), (7, Some(7), false), (7, Some(8), false)]
        {
            assert_eq!(within(&client(id), clients_after(after)), listed, "{id} after {after:?}");
        }
        let last = u32::MAX;
        for (channel, channels, listed) in
            [(5, (5, 5), true), (5, (6, last), false), (5, (0, 4), false), (last, (0, last), true)]
        {
            let request = RequestId { client: 9, channel, sequence: 1, step: 0 };
            let key = replay(FsId(1), Slot(2), &request);
            assert_eq!(
                within(&key, replays(FsId(1), Slot(2), 9, channels)),
                listed,
                "{channel} in {channels:?}"
            );
            assert!(!within(&key, replays(FsId(1), Slot(2), 8, (0, last))));
        }
    }

    #[test]
    fn names_list_in_the_order_of_object_keys() {
        let keys = [
            entry_name(DIR, &name("a"), false),
            entry_name(DIR, &name("a!"), false),
            entry_name(DIR, &name("a"), true),
            entry_name(DIR, &name("a0"), false),
        ];
        assert!(keys.is_sorted(), "a, a!, a/, a0");
    }

    #[test]
    fn keys_give_back_what_they_were_made_of() {
        assert_eq!(entry_cookie(&entry(DIR, Cookie(77))), Some(Cookie(77)));
        assert_eq!(xattr_name(&xattr(DIR, &name("user.x"))), Some(name("user.x")));
        assert_eq!(capability(DIR), xattr(DIR, &name("security.capability")));
        assert_eq!(parse_inode(&inode(DIR)), Some(DIR));
        assert_eq!(removal_of(&removal(DIR.fs)), Some(DIR.fs));
        assert_eq!(client_id(&client(1 << 100 | 5)), Some(1 << 100 | 5));
        assert_eq!(unfolded_at(&unfolded(DIR, 1 << 40)), Some((DIR, 1 << 40)));
        assert_eq!(parse_kind(&account(DIR.fs, Slot(3))), Some((DIR.fs, kind::ACCOUNT)));
        assert_eq!(parse_slot(&account(DIR.fs, Slot(3))), Some(Slot(3)));
        for slot in [Slot(3), Slot(u16::MAX)] {
            let (from, to) = slot_from(FsId(0), slot);
            let inside = |key: Vec<u8>| from <= key && key < to;
            assert!(inside(account(FsId(0), slot)) && inside(account(FsId(u32::MAX), slot)));
            for fs in [FsId(7), FsId(u32::MAX)] {
                let (from, to) = all_in(fs, slot);
                let within = |key: Vec<u8>| from <= key && key < to;
                assert!(
                    within(counters(fs, slot)) && within(inode(FileId { fs, ino: InodeId::new(slot, 9) }))
                );
                assert!(!within(counters(FsId(6), slot)) && !within(counters(FsId(8), slot)));
            }
            assert!(!inside(account(FsId(0), Slot(2))));
        }
    }
}
