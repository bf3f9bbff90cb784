//! Damage planted into good shards, one of each kind: fsck must name it. And good ones must be clean.

mod transactions;

use crate::rig::{Rig, attr, commit, directory, file, name, open, root, unlink, write};
use bytes::Bytes;
use fsck::Kind;
use map::{MemoryMap, OrderedMap, OrderedMapMut};
use namespace::keys;
use namespace::records::{
    Account, Body, Buried, Client, Counters, Entry, EntryName, Extent, Filesystem, Inode, Intent, Orphan,
    Piece, Record, Replay, Reserved, Source, Stripe, SystemValue, Unfolded, Xattr,
};
use sim::checked::{checked, checked_shards, parted};
use std::collections::BTreeMap;
use types::{Cookie, FileId, FsId, InodeId, Mode, RequestId, SetAttr, ShardId, Slot, StripeId, Time};
use vfs::*;

/// A good file system, and what to damage in it.
#[derive(Clone)]
pub(crate) struct Good {
    pub(crate) map: MemoryMap,
    pub(crate) stripes: BTreeMap<StripeId, usize>,
    /// What single shards have besides, with keys as they are stored.
    beside: Vec<(ShardId, Vec<u8>, Bytes)>,
    pub(crate) fs: FsId,
    /// Directories: /a, /a/b, /a/b/c and the empty /a/e.
    a: FileId,
    b: FileId,
    c: FileId,
    pub(crate) e: FileId,
    /// Files: /a/big, of one stripe; /a/small, inside its inode, with an attribute; /a/b/gone, open without a name;
    /// /a/twice, with another name in /a/b/c.
    pub(crate) big: FileId,
    small: FileId,
    gone: FileId,
    twice: FileId,
}

pub(crate) async fn good() -> Good {
    let mut rig = Rig::new(64 << 10);
    let (real, top) = rig.start().await;
    let a = directory(&real, top, "a").await;
    let b = directory(&real, a, "b").await;
    let c = directory(&real, b, "c").await;
    let e = directory(&real, a, "e").await;
    let big = file(&real, a, "big").await;
    write(&real, big, 0, &[7; 40_000]).await.unwrap();
    let copy = file(&real, b, "copy").await;
    commit(&real, big).await.unwrap();
    real.clone_range(&root(), CloneRange::whole(big, copy)).await.unwrap();
    let small = file(&real, a, "small").await;
    write(&real, small, 0, b"small").await.unwrap();
    commit(&real, small).await.unwrap();
    let value = Bytes::from_static(b"v");
    let set = SetXattr { file: small, name: name("user.x"), value, how: SetXattrHow::Either };
    real.setxattr(&root(), set).await.unwrap();
    let gone = file(&real, b, "gone").await;
    open(&real, gone).await;
    unlink(&real, b, "gone").await.unwrap();
    let twice = file(&real, a, "twice").await;
    real.link(&root(), Link { file: twice, dir: c, name: name("again") }).await.unwrap();
    let target = Bytes::from_static(b"target");
    let link = Symlink { dir: a, name: name("ärger"), target, set: SetAttr::default() };
    real.symlink(&root(), link).await.unwrap();
    attr(&real, big).await.unwrap();
    rig.audit().await;
    let shards = rig.shards.recovered().await.unwrap();
    let mut map = MemoryMap::default();
    shards
        .scan(&[], &[0xff; 64], &mut |key, value| {
            map.put(key, Bytes::copy_from_slice(value));
            true
        })
        .unwrap();
    Good {
        map,
        stripes: rig.stripes.ids(),
        beside: Vec::new(),
        fs: top.fs,
        a,
        b,
        c,
        e,
        big,
        small,
        gone,
        twice,
    }
}

impl Good {
    pub(crate) fn get<R: Record>(&self, key: &[u8]) -> R {
        R::decode(&self.map.get(key).unwrap().unwrap()).unwrap()
    }

    fn put<R: Record>(&mut self, key: &[u8], record: &R) {
        self.map.put(key, record.encode());
    }

    pub(crate) fn edit<R: Record>(&mut self, key: &[u8], change: impl FnOnce(&mut R)) {
        let mut record = self.get(key);
        change(&mut record);
        self.put(key, &record);
    }

    pub(crate) fn inode(&mut self, file: FileId, change: impl FnOnce(&mut Inode)) {
        self.edit(&keys::inode(file), change);
    }

    fn parent(&mut self, dir: FileId, parent: FileId) {
        self.inode(dir, |inode| {
            let Body::Directory(body) = &mut inode.body else { panic!("no directory") };
            body.parent = parent.ino;
        });
    }

    /// What fsck says when it is in several shards.
    fn checked(&self) -> fsck::Report {
        let (slots, mut stored) = parted(&self.map, SHARDS).unwrap();
        for (shard, key, value) in &self.beside {
            stored.get_mut(shard).unwrap().put(key, value.clone());
        }
        checked_shards(&fsck::Shards::new(slots, stored).unwrap(), &self.stripes).unwrap()
    }

    /// The cookie of a name.
    fn cookie(&self, dir: FileId, text: &str, is_directory: bool) -> Cookie {
        self.get::<EntryName>(&keys::entry_name(dir, &name(text), is_directory)).cookie
    }

    /// Gives `ino` a name, with both records, and nothing else.
    fn name(&mut self, dir: FileId, text: &str, cookie: Cookie, file: FileId) {
        let Inode { kind, .. } = self.get(&keys::inode(file));
        let is_directory = kind == types::FileKind::Directory;
        self.put(&keys::entry(dir, cookie), &Entry { name: name(text), ino: file.ino, kind });
        self.put(
            &keys::entry_name(dir, &name(text), is_directory),
            &EntryName { cookie, ino: file.ino, kind },
        );
    }

    /// The extent of /a/big and its stripe and piece.
    pub(crate) fn extent(&self) -> (Vec<u8>, StripeId, u32) {
        let key = keys::extent(self.big, 0);
        let Source::Piece { stripe, piece, .. } = self.get::<Extent>(&key).source else { panic!("no piece") };
        (key, stripe, piece)
    }

    fn remove_names(&mut self, dir: FileId, text: &str, is_directory: bool) {
        let cookie = self.cookie(dir, text, is_directory);
        self.map.delete(&keys::entry(dir, cookie));
        self.map.delete(&keys::entry_name(dir, &name(text), is_directory));
    }
}

const SHARDS: u16 = 5;

type Plant = (&'static str, Kind, &'static str, fn(&mut Good));

/// What is planted, the kind that it must be named as, a part of the sentence, and how.
const PLANTS: &[Plant] = &[
    ("a record of a later version", Kind::Record, "unknown version 5", |good| {
        let value = good.map.get(&keys::inode(good.small)).unwrap().unwrap();
        good.map.put(&keys::inode(good.small), [&[5], &value[1..]].concat().into());
    }),
    ("a record with a byte too many", Kind::Record, "bytes too many", |good| {
        let value = good.map.get(&keys::inode(good.small)).unwrap().unwrap();
        good.map.put(&keys::inode(good.small), [&value[..], &[0]].concat().into());
    }),
    ("a key of an unknown kind", Kind::Record, "kind is unknown", |good| {
        let mut key = keys::inode(good.small);
        key[10] = 0x7f;
        good.map.put(&key, Bytes::from_static(b"\x01"));
    }),
    ("a client of whom there is nothing to know", Kind::Record, "no client", |good| {
        good.put(&keys::client(7), &Client::default());
    }),
    ("a replay that is none", Kind::Record, "no replay", |good| {
        let request = RequestId { client: 1, channel: 2, sequence: 3, step: 0 };
        let replies = vec![(2, Bytes::from_static(b"\x01")), (1, Bytes::from_static(b"\x01"))];
        good.put(&keys::replay(good.fs, Slot(0), &request), &Replay { sequence: 3, replies });
    }),
    ("a filesystem without its name", Kind::Filesystem, "default", |good| {
        good.map.delete(&keys::filesystem_name("default"));
    }),
    ("a name of a filesystem that is not there", Kind::Filesystem, "\"other\"", |good| {
        let record: Filesystem = good.get(&keys::filesystem(good.fs));
        let other = Filesystem { id: FsId(9), name: "other".into(), ..record };
        good.put(&keys::filesystem_name("other"), &other);
    }),
    ("an inode of no filesystem", Kind::Filesystem, "filesystem 9", |good| {
        let inode: Inode = good.get(&keys::inode(good.e));
        good.put(&keys::inode(FileId { fs: FsId(9), ..good.e }), &inode);
    }),
    ("an entry without an inode", Kind::DanglingEntry, "default/a: the entry small", |good| {
        good.map.delete(&keys::inode(good.small));
    }),
    ("an entry without its name", Kind::Entry, "default/a/small", |good| {
        good.map.delete(&keys::entry_name(good.a, &name("small"), false));
    }),
    ("a name without its entry", Kind::Entry, "the name small", |good| {
        let cookie = good.cookie(good.a, "small", false);
        good.map.delete(&keys::entry(good.a, cookie));
    }),
    ("two records of an entry that differ", Kind::Entry, "default/a/small", |good| {
        let other = good.big.ino;
        good.edit(&keys::entry_name(good.a, &name("small"), false), |record: &mut EntryName| {
            record.ino = other
        });
    }),
    ("an entry of another kind", Kind::WrongKind, "default/a/small", |good| {
        let cookie = good.cookie(good.a, "small", false);
        let kind = types::FileKind::Fifo;
        good.edit(&keys::entry(good.a, cookie), |entry: &mut Entry| entry.kind = kind);
        good.edit(&keys::entry_name(good.a, &name("small"), false), |record: &mut EntryName| {
            record.kind = kind
        });
    }),
    ("an inode with another kind's content", Kind::WrongKind, "default/a/small", |good| {
        good.inode(good.small, |inode| inode.body = Body::None);
    }),
    ("an entry where nobody looks", Kind::Cookie, "none looks for it", |good| {
        good.remove_names(good.a, "small", false);
        good.name(good.a, "small", Cookie(1 << 40), good.small);
    }),
    ("a symbolic link where nobody looks", Kind::Cookie, "none looks for it", |good| {
        let Cookie(cookie) = good.cookie(good.a, "ärger", false);
        let entry: Entry = good.get(&keys::entry(good.a, Cookie(cookie)));
        let file = FileId { ino: entry.ino, ..good.a };
        good.remove_names(good.a, "ärger", false);
        good.name(good.a, "ärger", Cookie(cookie ^ 1 << 20), file);
    }),
    ("displaced entries that are not counted", Kind::Cookie, "says 1", |good| {
        good.inode(good.a, |inode| {
            let Body::Directory(body) = &mut inode.body else { panic!("no directory") };
            body.displaced = 1;
        });
    }),
    ("a directory with another key for its names", Kind::Cookie, "another key", |good| {
        good.inode(good.a, |inode| {
            let Body::Directory(body) = &mut inode.body else { panic!("no directory") };
            body.hash_key[3] ^= 1;
        });
    }),
    ("a link too many", Kind::Links, "default/a/twice", |good| {
        good.inode(good.twice, |inode| inode.links = 3);
    }),
    ("a link too few", Kind::Links, "default/a/twice", |good| {
        good.inode(good.twice, |inode| inode.links = 1);
    }),
    ("a directory with the links of another", Kind::Links, "default/a/b", |good| {
        good.inode(good.b, |inode| inode.links = 2);
    }),
    ("a directory of another size", Kind::DirectorySize, "default/a/e", |good| {
        good.inode(good.e, |inode| inode.size = 1);
    }),
    ("a directory that knows another parent", Kind::Parent, "default/a/b/c", |good| {
        good.parent(good.c, good.e);
    }),
    ("a loop of directories", Kind::Loop, "below itself", |good| {
        // /a/b goes into its own /a/b/c.
        let cookie = good.cookie(good.a, "b", true);
        good.remove_names(good.a, "b", true);
        good.name(good.c, "b", cookie, good.b);
        good.parent(good.b, good.c);
        good.inode(good.a, |inode| (inode.size, inode.links) = (inode.size - 1, inode.links - 1));
        good.inode(good.c, |inode| (inode.size, inode.links) = (inode.size + 1, inode.links + 1));
    }),
    ("an inode without a name", Kind::Unreachable, "has no name", |good| {
        good.remove_names(good.a, "small", false);
        good.inode(good.a, |inode| inode.size -= 1);
    }),
    ("a directory without a name", Kind::Unreachable, "has no name", |good| {
        good.remove_names(good.a, "e", true);
        good.inode(good.a, |inode| (inode.size, inode.links) = (inode.size - 1, inode.links - 1));
    }),
    ("an orphan that is forgotten", Kind::Unreachable, "no links", |good| {
        good.map.delete(&keys::orphan(good.gone));
    }),
    ("an orphan with a name", Kind::Pending, "default/a/small", |good| {
        good.put(&keys::orphan(good.small), &Orphan { since: Time::default() });
    }),
    ("an intent to delete what has a name", Kind::Pending, "default/a/small", |good| {
        good.put(&keys::intent(good.small), &Intent::Delete { from: 0 });
    }),
    ("an orphan without an inode", Kind::Pending, "not there", |good| {
        let none = FileId { ino: InodeId(999_999), ..good.a };
        good.put(&keys::orphan(none), &Orphan { since: Time::default() });
    }),
    ("a cut that nobody does", Kind::Pending, "default/a/small", |good| {
        good.inode(good.small, |inode| {
            let Body::File(body) = &mut inode.body else { panic!("no file") };
            body.cut = Some(1);
        });
    }),
    ("a mode with bits that there are not", Kind::Attribute, "default/a/small", |good| {
        good.inode(good.small, |inode| inode.mode = Mode(0o10_000));
    }),
    ("extents that overlap", Kind::Extent, "default/a/big", |good| {
        let extent = Extent { length: 10, source: Source::Unwritten };
        good.put(&keys::extent(good.big, 100), &extent);
    }),
    ("an extent beyond the end", Kind::Extent, "default/a/big", |good| {
        let extent = Extent { length: 1, source: Source::Inline(Bytes::from_static(b"x")) };
        good.put(&keys::extent(good.big, 50_000), &extent);
        good.inode(good.big, |inode| inode.used += 1);
    }),
    ("an extent of another length than its bytes", Kind::Extent, "default/a/big", |good| {
        let extent = Extent { length: 2, source: Source::Inline(Bytes::from_static(b"x")) };
        good.put(&keys::extent(good.big, 40_000), &extent);
        good.inode(good.big, |inode| (inode.used, inode.size) = (40_002, 40_002));
    }),
    ("an extent of a codec to come", Kind::Extent, "codec", |good| {
        let (key, ..) = good.extent();
        good.edit(&key, |extent: &mut Extent| {
            let Source::Piece { codec, .. } = &mut extent.source else { panic!("no piece") };
            *codec = 1;
        });
    }),
    ("an extent of no inode", Kind::Extent, "not there", |good| {
        let none = FileId { ino: InodeId(999_999), ..good.a };
        good.put(&keys::extent(none, 0), &Extent { length: 1, source: Source::Unwritten });
    }),
    ("content beside extents", Kind::Inline, "default/a/big", |good| {
        good.inode(good.big, |inode| {
            let Body::File(body) = &mut inode.body else { panic!("no file") };
            body.inline = Some(Bytes::new());
        });
    }),
    ("a file that uses more than it has", Kind::Used, "default/a/big", |good| {
        good.inode(good.big, |inode| inode.used += 1);
    }),
    ("an attribute that is not counted", Kind::Xattr, "default/a/big", |good| {
        good.put(&keys::xattr(good.big, &name("user.y")), &Xattr { value: Bytes::new() });
    }),
    ("a system attribute that is not counted", Kind::Xattr, "default/a/big", |good| {
        let value = SystemValue { content: 1, value: Bytes::new() };
        good.put(&keys::system(good.big, &name("head.x")), &value);
    }),
    ("a system attribute of content to come", Kind::Xattr, "default/a/small", |good| {
        let value = SystemValue { content: 1 << 40, value: Bytes::new() };
        good.put(&keys::system(good.small, &name("head.x")), &value);
        good.inode(good.small, |inode| inode.xattrs += 1);
    }),
    ("an attribute that is gone", Kind::Xattr, "default/a/small", |good| {
        good.map.delete(&keys::xattr(good.small, &name("user.x")));
    }),
    ("a piece that is gone", Kind::MissingPiece, "default/a/b/copy", |good| {
        let (_, stripe, piece) = good.extent();
        good.map.delete(&keys::piece(good.fs, stripe, piece));
    }),
    ("a piece that is too short", Kind::MissingPiece, "40000 bytes", |good| {
        let (_, stripe, piece) = good.extent();
        good.edit(&keys::piece(good.fs, stripe, piece), |piece: &mut Piece| piece.length -= 1);
    }),
    ("a piece with a reference too few", Kind::References, "says 1 references, and has 2", |good| {
        let (_, stripe, piece) = good.extent();
        good.edit(&keys::piece(good.fs, stripe, piece), |piece: &mut Piece| piece.references = 1);
    }),
    ("a piece with a reference too many", Kind::References, "says 3 references, and has 2", |good| {
        let (_, stripe, piece) = good.extent();
        good.edit(&keys::piece(good.fs, stripe, piece), |piece: &mut Piece| piece.references = 3);
    }),
    ("a stripe with other sums", Kind::Stripe, "says 2 with 40000", |good| {
        let (_, stripe, _) = good.extent();
        good.edit(&keys::stripe(good.fs, stripe), |stripe: &mut Stripe| stripe.pieces = 2);
    }),
    ("a stripe in no group", Kind::Stripe, "group that is not there", |good| {
        let (_, stripe, _) = good.extent();
        good.edit(&keys::stripe(good.fs, stripe), |stripe: &mut Stripe| {
            stripe.group = types::GroupId(65_535)
        });
    }),
    ("a stripe that is gone", Kind::Stripe, "is not there", |good| {
        let (_, stripe, _) = good.extent();
        good.map.delete(&keys::stripe(good.fs, stripe));
    }),
    ("garbage that is needed", Kind::Garbage, "garbage with 1 pieces", |good| {
        let (_, stripe, _) = good.extent();
        let record: Stripe = good.get(&keys::stripe(good.fs, stripe));
        good.map.delete(&keys::stripe(good.fs, stripe));
        good.put(&keys::garbage(good.fs, stripe), &Stripe { pieces: 0, live: 0, ..record });
    }),
    ("a live stripe that was buried", Kind::Stripe, "never to be committed", |good| {
        let (_, stripe, _) = good.extent();
        good.put(&keys::buried(stripe), &Buried);
    }),
    ("inodes that are not counted", Kind::Counter, "inodes", |good| {
        let key = keys::counters(good.fs, good.small.ino.slot());
        good.edit(&key, |counters: &mut Counters| counters.inodes += 1);
    }),
    ("numbers that will be given again", Kind::Counter, "last number", |good| {
        let key = keys::counters(good.fs, good.small.ino.slot());
        good.edit(&key, |counters: &mut Counters| counters.inode = 1);
    }),
    ("stripes that will be granted again", Kind::Counter, "were granted", |good| {
        let (_, stripe, _) = good.extent();
        let key = keys::counters(FsId(0), InodeId(stripe.0).slot());
        good.edit(&key, |counters: &mut Counters| counters.stripe = 0);
    }),
    ("an account of bytes that are not there", Kind::Account, "used", |good| {
        let key = keys::account(good.fs, good.big.ino.slot());
        good.edit(&key, |account: &mut Account| account.used += 1);
    }),
    ("an account of other stripes", Kind::Account, "stored", |good| {
        let key = keys::account(good.fs, good.big.ino.slot());
        good.edit(&key, |account: &mut Account| account.stored -= 4096);
    }),
    ("bytes that nobody would fold", Kind::Unfolded, "default/a/big", |good| {
        let extent = Extent { length: 1, source: Source::Inline(Bytes::from_static(b"x")) };
        good.put(&keys::extent(good.big, 40_000), &extent);
        good.inode(good.big, |inode| (inode.used, inode.size) = (40_001, 40_001));
    }),
    ("bytes to be folded that are in a stripe", Kind::Unfolded, "holds no bytes", |good| {
        good.put(&keys::unfolded(good.big, 0), &Unfolded { bytes: 1 });
    }),
    ("space that nobody holds", Kind::Reserved, "not known to be", |good| {
        good.put(&keys::extent(good.big, 40_000), &Extent { length: 1, source: Source::Unwritten });
        good.inode(good.big, |inode| inode.used += 1);
    }),
    ("space for what was written", Kind::Reserved, "said to be reserved", |good| {
        good.put(&keys::reserved(good.big, 0), &Reserved { bytes: 1 });
    }),
    ("a chunk that is gone", Kind::Lost, "chunk 0 on drive 0", |good| {
        let (_, stripe, _) = good.extent();
        good.stripes.remove(&stripe);
    }),
    ("a chunk of another length", Kind::WrongChunk, "on drive 0", |good| {
        let (_, stripe, _) = good.extent();
        good.stripes.insert(stripe, 10);
    }),
    ("a chunk of no stripe", Kind::OrphanChunk, "belongs to no live stripe", |good| {
        good.stripes.insert(StripeId(77_777), 10);
    }),
];

#[tokio::test(start_paused = true)]
async fn every_planted_damage_is_named() {
    let good = good().await;
    let clean = good.checked();
    assert!(clean.damage.is_empty(), "{:#?}", clean.damage);
    assert!(clean.entries == 10 && clean.inodes == 11 && clean.chunks == 1, "{clean:?}");
    let (_, stored) = parted(&good.map, SHARDS).unwrap();
    assert!(stored.values().filter(|map| !map.is_empty()).count() > 2, "it is in several shards");
    let mut kinds = std::collections::BTreeSet::new();
    for (what, kind, part, plant) in PLANTS.iter().chain(transactions::PLANTS) {
        let mut bad = good.clone();
        plant(&mut bad);
        let report = bad.checked();
        let named = |damage: &fsck::Damage| damage.kind == *kind && damage.what.contains(part);
        assert!(report.damage.iter().any(named), "{what}: {:#?}", report.damage);
        kinds.insert(*kind);
    }
    let elsewhere = [Kind::Degraded, Kind::Drive, Kind::More];
    let missed: Vec<_> =
        Kind::ALL.iter().filter(|kind| !kinds.contains(kind) && !elsewhere.contains(kind)).collect();
    assert!(missed.is_empty(), "nothing plants {missed:?}");
    assert!(kinds.len() >= 20);
}

#[tokio::test(start_paused = true)]
async fn any_record_that_is_lost_or_turned_is_noticed_and_none_stops_the_check() {
    let good = good().await;
    let mut all = Vec::new();
    good.map
        .scan(&[], &[0xff; 64], &mut |key, value| {
            all.push((key.to_vec(), value.to_vec()));
            true
        })
        .unwrap();
    for (key, value) in all {
        let mut lost = good.map.clone();
        lost.delete(&key);
        let report = checked(&lost, &good.stripes).unwrap();
        assert!(!report.damage.is_empty(), "without {}", key.escape_ascii());
        for at in 0..value.len() {
            let (mut turned, mut bytes) = (good.map.clone(), value.clone());
            bytes[at] ^= 0xff;
            turned.put(&key, bytes.into());
            // Some bytes mean nothing to anything else, such as an owner or a time.
            checked(&turned, &good.stripes).unwrap();
        }
        // Another name of an attribute is as good as this one.
        let free = if key[10] == keys::kind::XATTR { key.len() - 17 } else { 0 };
        for at in 0..key.len() - free {
            let (mut turned, mut bytes) = (lost.clone(), key.clone());
            bytes[at] ^= 0x80;
            turned.put(&bytes, value.clone().into());
            let report = checked(&turned, &good.stripes).unwrap();
            assert!(!report.damage.is_empty(), "{} at {at}", key.escape_ascii());
        }
    }
}
