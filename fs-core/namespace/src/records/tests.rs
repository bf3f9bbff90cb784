//! The bytes that stand in maps, which no change may make unreadable.

use super::*;
use proptest::prelude::*;
use std::fmt::Debug;
use types::Slot;

fn frozen<R: Record + PartialEq + Debug>(record: &R, bytes: &[u8]) {
    assert_eq!(record.encode().as_ref(), bytes, "drives have records like this: add a version instead");
    assert_eq!(&R::decode(bytes).unwrap(), record);
}

fn inode(kind: FileKind, body: Body) -> Inode {
    Inode {
        kind,
        mode: Mode(0o4755),
        uid: 1000,
        gid: 5,
        links: 2,
        device: Device { major: 8, minor: 1 },
        size: 300,
        used: 3,
        atime: Time { seconds: -1, nanoseconds: 2 },
        mtime: Time { seconds: 3, nanoseconds: 4 },
        ctime: Time { seconds: 5, nanoseconds: 6 },
        btime: Time { seconds: 7, nanoseconds: 999_999_999 },
        change: 9,
        xattrs: 1,
        content: 8,
        body,
    }
}

#[test]
fn records_on_drives_are_frozen() {
    let ino = InodeId::new(Slot(1), 2);
    let name = Name::new(&b"n"[..]).unwrap();
    let common = b"\xed\x13\xe8\x07\x05\x02\x08\x01\xac\x02\x03\x01\x02\x06\x04\x0a\x06\x0e\xff\x93\xeb\xdc\x03\x09\x01\x08";
    let of = |kind: u8, body: &[u8]| [&[4, kind], &common[..], body].concat();
    let retention = Retention { until: 300, compliance: true, hold: false };
    let file =
        File { inline: Some(Bytes::from_static(b"abc")), verifier: Some([7; 8]), cut: Some(200), retention };
    let file_bytes = b"\x03\x01\x03abc\x01\x07\x07\x07\x07\x07\x07\x07\x07\x01\xc8\x01\xd8\x04\x01\0";
    frozen(&inode(FileKind::File, Body::File(file)), &of(0, file_bytes));
    let hash_key = *b"0123456789abcdef";
    let guard = Guard { until: 300, itself: true };
    let directory = Directory { parent: InodeId::ROOT, depth: 3, displaced: 1, hash_key, guard };
    let directory_bytes = b"\x02\x01\x03\x010123456789abcdef\xd8\x04\x01";
    frozen(&inode(FileKind::Directory, Body::Directory(directory)), &of(1, directory_bytes));
    frozen(&inode(FileKind::Symlink, Body::Symlink(Bytes::from_static(b"t"))), &of(2, b"\x01\x01t"));
    for (number, kind) in
        [(3, FileKind::Fifo), (4, FileKind::Socket), (5, FileKind::CharDevice), (6, FileKind::BlockDevice)]
    {
        frozen(&inode(kind, Body::None), &of(number, b"\0"));
    }
    frozen(&Entry { name, ino, kind: FileKind::File }, b"\x01\x01n\x82\x80\x80\x80\x80\x80\x40\0");
    frozen(
        &EntryName { cookie: Cookie(16), ino: InodeId(3), kind: FileKind::Directory },
        b"\x01\x10\x03\x01",
    );
    frozen(&Extent { length: 5, source: Source::Unwritten }, b"\x01\x05\0");
    frozen(&Extent { length: 1, source: Source::Inline(Bytes::from_static(b"x")) }, b"\x01\x01\x01\x01x");
    let source =
        Source::Piece { stripe: StripeId(1), piece: 2, within: 3, codec: 0, key_id: 0, raw_length: 0 };
    frozen(&Extent { length: 300, source }, b"\x01\xac\x02\x02\x01\x02\x03\0\0\0");
    frozen(&Unfolded { bytes: 300 }, b"\x01\xac\x02");
    frozen(&Reserved { bytes: 300 }, b"\x01\xac\x02");
    let (begun, fs, stripe) = (Time { seconds: 1, nanoseconds: 5 }, FsId(2), StripeId(3));
    let scrub = Scrub { whole: Some(begun), now: Some(ScrubAt { begun, fs, stripe }) };
    frozen(&Buried, b"\x01");
    frozen(&scrub, b"\x01\x01\x02\x05\x01\x02\x05\x02\x03");
    frozen(&Piece { length: 300, references: 2 }, b"\x01\xac\x02\x02");
    let (data_chunks, parity_chunks, cells) = (4, 2, 0x3f);
    let stripe =
        Stripe { group: GroupId(1), data_chunks, parity_chunks, cells, length: 300, pieces: 1, live: 300 };
    frozen(&stripe, b"\x01\x01\x04\x02\x3f\xac\x02\x01\xac\x02");
    frozen(&Xattr { value: Bytes::from_static(b"v") }, b"\x01\x01v");
    frozen(&SystemValue { content: 300, value: Bytes::from_static(b"v") }, b"\x01\xac\x02\x01v");
    frozen(&Orphan { since: Time { seconds: 1, nanoseconds: 2 } }, b"\x01\x02\x02");
    frozen(&Intent::Cut { from: 300 }, b"\x01\0\xac\x02");
    frozen(&Intent::Delete { from: 0 }, b"\x01\x01\0");
    frozen(&Replay { sequence: 5, replies: vec![(1, Bytes::from_static(b"r"))] }, b"\x01\x05\x01\x01\x01r");
    let kept = Some(Kept { head: 1, data: Bytes::from_static(b"k") });
    let holds = Holds { opens: true, denies: false, locks: true };
    frozen(&Client { holds, kept }, b"\x01\x01\0\x01\x01\x01\x01k");
    frozen(&Ended {}, b"\x01");
    let filesystem =
        Filesystem { id: FsId(1), name: "fs".into(), hash_key: *b"0123456789abcdef", fold_version: 1 };
    frozen(&filesystem, b"\x01\x01\x02fs0123456789abcdef\x01");
    frozen(&Renames { count: 300 }, b"\x01\xac\x02");
    frozen(&Counters { inode: 1, stripe: 2, inodes: 3, closed: true }, b"\x02\x01\x02\x03\x01");
    let since = Time { seconds: 1, nanoseconds: 2 };
    frozen(&Removal { name: "fs".into(), since }, b"\x01\x02fs\x02\x02");
    let account = Account {
        used: 300,
        unfolded: 1,
        unfolded_bytes: 2,
        stripes: 3,
        data: 4,
        live: 5,
        stored: 6,
        garbage: 7,
        garbage_stored: 8,
        reserved: 9,
    };
    frozen(&account, b"\x02\xac\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09");
}

#[test]
fn a_stripe_takes_whole_blocks_and_a_header_for_each_chunk() {
    for (length, data_chunks, parity_chunks, stored) in [
        (1, 1, 0, 2 * 4096),
        (4096, 1, 2, 3 * 2 * 4096),
        (16_385, 4, 2, 6 * 3 * 4096),
        (4 << 20, 4, 2, 6 * ((1 << 20) + 4096)),
    ] {
        let (group, cells, pieces, live) = (GroupId(0), 1, 1, 1);
        let stripe = Stripe { group, data_chunks, parity_chunks, cells, length, pieces, live };
        assert_eq!(stripe.stored_bytes(), stored, "{length} in {data_chunks}+{parity_chunks}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_refused(version in 0u8..5, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let bytes = [&[version][..], &bytes].concat();
        prop_assert!(version == 4 || Inode::decode(&bytes).is_err(), "an unknown version is refused");
        let two = Counters::decode(&bytes).is_err() && Account::decode(&bytes).is_err();
        prop_assert!(version == 2 || two, "an unknown version is refused");
        let (known, none) = (version == 1, [
            Renames::decode(&bytes).is_err(), Entry::decode(&bytes).is_err(), EntryName::decode(&bytes).is_err(),
            Extent::decode(&bytes).is_err(), Piece::decode(&bytes).is_err(), Stripe::decode(&bytes).is_err(),
            Xattr::decode(&bytes).is_err(), SystemValue::decode(&bytes).is_err(), Orphan::decode(&bytes).is_err(),
            Intent::decode(&bytes).is_err(), Reserved::decode(&bytes).is_err(), Unfolded::decode(&bytes).is_err(),
            Client::decode(&bytes).is_err(), Replay::decode(&bytes).is_err(), Filesystem::decode(&bytes).is_err(),
            Removal::decode(&bytes).is_err(),
        ]);
        prop_assert!(known || none.iter().all(|refused| *refused), "an unknown version is refused");
    }
}
